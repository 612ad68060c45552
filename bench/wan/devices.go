package wan

// Devices says what the two virtual Ethernet devices of a Cable do.
type Devices struct {
	MTU    int  // largest packet, bytes
	Frames bool // take single packets only, so that every frame is a real one; otherwise the kernel hands runs of packets over as one
	Join   bool // join the packets received, as network cards do
}
