// tensor/comm/tcp.h -- ranks that are processes, on one machine or several, talking over TCP.
#pragma once
#include <optional>

#include "tensor/comm/transport.h"

namespace retort {

/// What all ranks must have in common, part by part ("job", "binary", "parameters"): hashes of it.
struct JobIdentity {
  struct Part {
    std::string name;  ///< up to 23 bytes; at most 8 parts
    std::uint64_t hash;
  };
  std::vector<Part> parts;
};

struct TcpPlace {
  int rank = 0, world = 1;
  std::string host = "127.0.0.1";  ///< of rank 0, which listens there alone
  std::uint16_t port = 29500;
};

/// The place of this process by RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT; rank and world also by SLURM_PROCID and
/// SLURM_NTASKS, or OMPI_COMM_WORLD_RANK and OMPI_COMM_WORLD_SIZE. None where no world is named, or a world of 1.
/// Throws ConfigError naming the variable that is missing or wrong.
std::optional<TcpPlace> place_from_environment();

/// Meets the other ranks at rank 0 and returns once each is connected with each. Between any two ranks there are two
/// connections: data, and heartbeats. Throws CommError when not all have come within `options.join`, and on all ranks
/// when one differs in the world or a part of the identity, naming rank and part. What is sent is neither encrypted nor
/// authenticated: the network must be trusted.
std::unique_ptr<Communicator> join_tcp(const TcpPlace& place, const JobIdentity& identity,
                                       const CommOptions& options = {});

}  // namespace retort
