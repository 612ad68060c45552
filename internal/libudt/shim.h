// C interface to the parts of the C++ library that the package needs.

#ifndef CHUNKGET_LIBUDT_SHIM_H
#define CHUNKGET_LIBUDT_SHIM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// peer_error is the library's error of the thread that made the call.
typedef struct {
	int code; // 0 = none, otherwise major*1000+minor
	char text[248];
} peer_error;

// peer_addr is an IPv4 (in the first four bytes) or IPv6 address.
typedef struct {
	int v6;
	unsigned char ip[16];
	uint16_t port;
} peer_addr;

// peer_options are set before the socket is bound; 0 keeps a default.
typedef struct {
	int mss;
	int flow_window;
	int send_buffer, receive_buffer;
	int udp_send_buffer, udp_receive_buffer;
	int linger; // seconds, -1 = off
	int64_t max_bandwidth;
	int poll_ms;
	int rendezvous;
} peer_options;

typedef struct {
	int64_t msTimeStamp, pktSentTotal, pktRecvTotal;
	int pktSndLossTotal, pktRcvLossTotal, pktRetransTotal;
	int pktSentACKTotal, pktRecvACKTotal, pktSentNAKTotal, pktRecvNAKTotal;
	int64_t pktSent, pktRecv;
	int pktSndLoss, pktRcvLoss, pktRetrans;
	int pktSentACK, pktRecvACK, pktSentNAK, pktRecvNAK;
	double mbpsSendRate, mbpsRecvRate;
	double usPktSndPeriod, msRTT, mbpsBandwidth;
	int pktFlowWindow, pktCongestionWindow, pktFlightSize;
	int byteAvailSndBuf, byteAvailRcvBuf;
} peer_perfmon;

// Each returns a negative number on failure and then fills err.
int peer_startup(peer_error *err);
int peer_socket(int v6, const peer_options *o, peer_error *err);
int peer_bind(int s, const peer_addr *a, peer_error *err);
int peer_listen(int s, int backlog, peer_error *err);
int peer_accept(int s, peer_error *err);
int peer_connect(int s, const peer_addr *a, peer_error *err);
int peer_send(int s, const void *p, int n, peer_error *err);
int peer_recv(int s, void *p, int n, peer_error *err);
int peer_close(int s, peer_error *err);
int peer_names(int s, peer_addr *local, peer_addr *remote, peer_error *err);
int peer_stats(int s, int clear, peer_perfmon *m, peer_error *err);

#ifdef __cplusplus
}
#endif

#endif
