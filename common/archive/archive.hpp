#pragma once
#include "common/base/async.hpp"
#include "common/base/budget.hpp"
#include "common/base/log.hpp"
#include "common/codec/cipher.hpp"
#include "common/codec/compression.hpp"
#include "common/storage/failover/aliveness.hpp"
#include "common/storage/health/request_meter.hpp"
#include "common/storage/health/storage_health.hpp"
#include "common/storage/storage.hpp"

#include <cstdint>
#include <string>

namespace walgd::archive {

/// How objects are packed: compressed, then encrypted.
struct Packing {
    const codec::Compression* compression = nullptr;
    std::string level;                     ///< empty: the method's default
    const codec::Cipher* cipher = nullptr; ///< nullptr: not encrypted
};

/// The parts that work on one archive shares. Built once by main (config/setup), outlives everything that refers to it.
struct Archive {
    storage::Storage& storage;
    Packing packing;
    asio::any_io_executor io;  ///< the I/O thread
    asio::any_io_executor cpu; ///< a pool: packs, hashes and reads WAL; nothing that waits for a storage runs here
    MemoryBudget& budget;
    Log& log;
    storage::StorageHealth* health = nullptr;    ///< what its requests say of `storage`; nullptr: nobody watches
    storage::RequestMeter* meter = nullptr;      ///< counts its requests; nullptr: nobody does
    const storage::Aliveness* members = nullptr; ///< of the storages that `storage` is made of; nullptr: it is one
};

/// The same with another storage in its place, which outlives it.
inline Archive with_storage(const Archive& archive, storage::Storage& storage) {
    return {storage,     archive.packing, archive.io,    archive.cpu,    archive.budget,
            archive.log, archive.health,  archive.meter, archive.members};
}

} // namespace walgd::archive
