// tensor/comm/rendezvous.h -- how processes find each other: all meet at rank 0, then each connects with each.
#pragma once
#include "tensor/comm/socket.h"
#include "tensor/comm/tcp.h"

namespace retort {

/// Connections to the other ranks, by rank; empty at the own one.
struct TcpLinks {
  std::vector<Socket> data, control;
};

/// The start of join_tcp. Whoever connects and does not speak this protocol is dropped and disturbs nobody.
TcpLinks meet(const TcpPlace& place, const JobIdentity& identity, const CommOptions& options);

}  // namespace retort
