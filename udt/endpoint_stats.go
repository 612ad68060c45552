package udt

// EndpointStats is a snapshot of what an endpoint knows of its UDP socket.
type EndpointStats struct {
	// Segmentation and Coalescing tell whether the kernel's UDP_SEGMENT and
	// UDP_GRO are in use.
	Segmentation, Coalescing bool

	SegmentationRefused int64 // runs of packets that the kernel refused and that were sent one by one
	Truncated           int64 // datagrams received that were longer than any packet may be
	WriteErrors         int64 // calls in which the socket refused a packet for good
}

// Stats returns a snapshot of the endpoint's counters.
func (e *Endpoint) Stats() EndpointStats {
	s := EndpointStats{WriteErrors: e.writeErrs.Load()}
	if e.sock.batches != nil {
		e.sock.batches.stats(&s)
	}
	return s
}
