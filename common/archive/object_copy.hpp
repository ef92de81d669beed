#pragma once
#include "common/archive/object_writer.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

/// Objects as they are from one storage to another.
namespace walgd::archive {

/// What the copies of one command share.
struct CopyRoute {
    storage::Storage& from;
    WriteTarget to;
    unsigned at_once;
    /// Makes the chain that an object's bytes go through into `end`; empty: as they are.
    std::function<std::unique_ptr<codec::Sink>(codec::Sink& end)> change{};
};

enum class Existing {
    replace,
    keep_same, ///< of the same size: it is left alone; of another one: Error(refused)
};

/// What became of a list of objects.
struct Copied {
    std::uint64_t objects = 0, bytes = 0, there_already = 0;
    std::uint64_t gone = 0;             ///< from the source, since it was listed
    std::vector<std::string> differing; ///< run_copy: metadata that the target has otherwise, and keeps
};

/// Copies one object. False: it is not there any more. Not for the I/O thread.
bool copy_object(const CopyRoute& route, const storage::ObjectKey& key, Existing existing);

/// Copies all, several at once, in any order; the first failure ends it. `objects` as the source listed them, `there` as the
/// target did: what is in both with one size is passed over under keep_same.
Copied copy_objects(const CopyRoute& route, const std::vector<storage::ObjectInfo>& objects,
                    const std::vector<storage::ObjectInfo>& there, Existing existing);

} // namespace walgd::archive
