// Package ethtool sets what network devices do with runs of packets (Linux).
package ethtool
