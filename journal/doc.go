// Package journal records which pieces of a file that is being downloaded are
// safely on disk, so that an interrupted download can go on from there.
//
// The record may lag the data but never lead it: [Writer.Commit] syncs the
// data, then appends records with a checksum, then syncs the journal. After a
// crash at any moment [Open] replays the records up to the last good one and
// cuts off what follows. A journal that is damaged, or that belongs to another
// file, costs a refetch, never a wrong file.
//
// README.md in this directory describes the format byte by byte, what a crash
// can leave behind, and what is assumed of the disk.
package journal
