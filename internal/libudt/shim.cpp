//go:build libudt

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include <udt/udt.h>

#include "shim.h"

namespace {

int failed(peer_error *err)
{
	err->code = UDT::getlasterror_code();
	snprintf(err->text, sizeof err->text, "%s", UDT::getlasterror_desc());
	for (size_t n = strlen(err->text); n > 0 && (err->text[n - 1] == '.' || err->text[n - 1] == ' '); n--)
		err->text[n - 1] = 0;
	return -1;
}

int checked(int result, peer_error *err)
{
	if (result == UDT::ERROR)
		return failed(err);
	err->code = 0;
	return result;
}

socklen_t to_sockaddr(const peer_addr *a, sockaddr_storage *out)
{
	memset(out, 0, sizeof *out);
	if (a->v6) {
		sockaddr_in6 *sa = reinterpret_cast<sockaddr_in6 *>(out);
		sa->sin6_family = AF_INET6;
		sa->sin6_port = htons(a->port);
		memcpy(&sa->sin6_addr, a->ip, 16);
		return sizeof *sa;
	}
	sockaddr_in *sa = reinterpret_cast<sockaddr_in *>(out);
	sa->sin_family = AF_INET;
	sa->sin_port = htons(a->port);
	memcpy(&sa->sin_addr, a->ip, 4);
	return sizeof *sa;
}

void from_sockaddr(const sockaddr_storage *in, peer_addr *a)
{
	memset(a, 0, sizeof *a);
	if (in->ss_family == AF_INET6) {
		const sockaddr_in6 *sa = reinterpret_cast<const sockaddr_in6 *>(in);
		a->v6 = 1;
		a->port = ntohs(sa->sin6_port);
		memcpy(a->ip, &sa->sin6_addr, 16);
		return;
	}
	const sockaddr_in *sa = reinterpret_cast<const sockaddr_in *>(in);
	a->port = ntohs(sa->sin_port);
	memcpy(a->ip, &sa->sin_addr, 4);
}

template <typename T>
bool set(UDTSOCKET s, UDT::SOCKOPT option, T value)
{
	return UDT::setsockopt(s, 0, option, &value, sizeof value) != UDT::ERROR;
}

bool set_unless_zero(UDTSOCKET s, UDT::SOCKOPT option, int value)
{
	return value == 0 || set(s, option, value);
}

// The order matters: the sizes of buffers in packets follow from the MSS, and
// the receive buffer is capped at the flow window.
bool configure(UDTSOCKET s, const peer_options *o)
{
	linger l;
	l.l_onoff = o->linger >= 0;
	l.l_linger = o->linger >= 0 ? o->linger : 0;
	return set_unless_zero(s, UDT_MSS, o->mss)
		&& set_unless_zero(s, UDT_FC, o->flow_window)
		&& set_unless_zero(s, UDT_SNDBUF, o->send_buffer)
		&& set_unless_zero(s, UDT_RCVBUF, o->receive_buffer)
		&& set_unless_zero(s, UDP_SNDBUF, o->udp_send_buffer)
		&& set_unless_zero(s, UDP_RCVBUF, o->udp_receive_buffer)
		&& (o->linger == 0 || set(s, UDT_LINGER, l))
		&& (o->max_bandwidth == 0 || set(s, UDT_MAXBW, o->max_bandwidth))
		&& set(s, UDT_SNDTIMEO, o->poll_ms)
		&& set(s, UDT_RCVTIMEO, o->poll_ms)
		&& set(s, UDT_RENDEZVOUS, bool(o->rendezvous));
}

} // namespace

extern "C" {

int peer_startup(peer_error *err) { return checked(UDT::startup(), err); }

int peer_socket(int v6, const peer_options *o, peer_error *err)
{
	UDTSOCKET s = UDT::socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
	if (s == UDT::INVALID_SOCK)
		return failed(err);
	if (!configure(s, o)) {
		failed(err);
		UDT::close(s);
		return -1;
	}
	err->code = 0;
	return s;
}

int peer_bind(int s, const peer_addr *a, peer_error *err)
{
	sockaddr_storage sa;
	socklen_t n = to_sockaddr(a, &sa);
	return checked(UDT::bind(s, reinterpret_cast<sockaddr *>(&sa), n), err);
}

int peer_listen(int s, int backlog, peer_error *err) { return checked(UDT::listen(s, backlog), err); }

int peer_accept(int s, peer_error *err)
{
	sockaddr_storage sa;
	int n = sizeof sa;
	UDTSOCKET c = UDT::accept(s, reinterpret_cast<sockaddr *>(&sa), &n);
	if (c == UDT::INVALID_SOCK)
		return failed(err);
	err->code = 0;
	return c;
}

int peer_connect(int s, const peer_addr *a, peer_error *err)
{
	sockaddr_storage sa;
	socklen_t n = to_sockaddr(a, &sa);
	return checked(UDT::connect(s, reinterpret_cast<sockaddr *>(&sa), n), err);
}

int peer_send(int s, const void *p, int n, peer_error *err)
{
	return checked(UDT::send(s, static_cast<const char *>(p), n, 0), err);
}

int peer_recv(int s, void *p, int n, peer_error *err)
{
	return checked(UDT::recv(s, static_cast<char *>(p), n, 0), err);
}

int peer_close(int s, peer_error *err) { return checked(UDT::close(s), err); }

int peer_names(int s, peer_addr *local, peer_addr *remote, peer_error *err)
{
	sockaddr_storage sa;
	int n = sizeof sa;
	if (UDT::getsockname(s, reinterpret_cast<sockaddr *>(&sa), &n) == UDT::ERROR)
		return failed(err);
	from_sockaddr(&sa, local);
	err->code = 0;
	if (!remote)
		return 0;
	n = sizeof sa;
	if (UDT::getpeername(s, reinterpret_cast<sockaddr *>(&sa), &n) == UDT::ERROR)
		return failed(err);
	from_sockaddr(&sa, remote);
	return 0;
}

int peer_stats(int s, int clear, peer_perfmon *m, peer_error *err)
{
	UDT::TRACEINFO t;
	if (UDT::perfmon(s, &t, clear != 0) == UDT::ERROR)
		return failed(err);
	err->code = 0;
#define COPY(field) m->field = t.field
	COPY(msTimeStamp);
	COPY(pktSentTotal);
	COPY(pktRecvTotal);
	COPY(pktSndLossTotal);
	COPY(pktRcvLossTotal);
	COPY(pktRetransTotal);
	COPY(pktSentACKTotal);
	COPY(pktRecvACKTotal);
	COPY(pktSentNAKTotal);
	COPY(pktRecvNAKTotal);
	COPY(pktSent);
	COPY(pktRecv);
	COPY(pktSndLoss);
	COPY(pktRcvLoss);
	COPY(pktRetrans);
	COPY(pktSentACK);
	COPY(pktRecvACK);
	COPY(pktSentNAK);
	COPY(pktRecvNAK);
	COPY(mbpsSendRate);
	COPY(mbpsRecvRate);
	COPY(usPktSndPeriod);
	COPY(msRTT);
	COPY(mbpsBandwidth);
	COPY(pktFlowWindow);
	COPY(pktCongestionWindow);
	COPY(pktFlightSize);
	COPY(byteAvailSndBuf);
	COPY(byteAvailRcvBuf);
#undef COPY
	return 0;
}

} // extern "C"
