// Package linkmodel decides what one direction of a network link does to the
// packets sent over it: when each leaves the bottleneck, whether it is lost and
// when it arrives. It moves no packets and reads no clock. What simulates a
// link, in virtual time or between real interfaces, asks it for the fate of
// each packet and keeps the packet until then.
//
// For every packet, in the order of sending, call [Link.Serialise], then
// [Link.Lose], then [Link.Propagate], and stop at the one that drops it. A
// packet that is lost therefore has used its share of the rate.
//
// A Link belongs to one goroutine at a time. Its random decisions come from the
// generator it was given, so that the same packets sent at the same times meet
// the same fate in every run.
package linkmodel
