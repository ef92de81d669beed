#pragma once
#include <cstddef>

namespace walgd::daemon {

/// Asks for as many descriptors as this process may have. Says how many they are.
std::size_t raised_descriptor_limit();
/// For each of the sockets. A connection has a socket and a file; what the storage and a backup need stays free.
std::size_t connections_max(std::size_t descriptors, std::size_t sockets);

} // namespace walgd::daemon
