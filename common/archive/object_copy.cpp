#include "common/archive/object_copy.hpp"

#include "common/base/in_parallel.hpp"

#include <algorithm>
#include <atomic>
#include <fmt/format.h>
#include <map>

namespace walgd::archive {

bool copy_object(const CopyRoute& route, const storage::ObjectKey& key, Existing existing) {
    const auto& io = route.to.io;
    OnIoThread reader(io, run_blocking(io, route.from.get(key, {}), route.to.stop));
    if (!reader) return false;
    const auto announced = reader->info().bytes;
    const storage::PutOptions options{.if_absent = existing == Existing::keep_same,
                                      .metadata =
                                          route.change ? decltype(storage::PutOptions::metadata)() : reader->info().metadata};
    ObjectWriter writer(route.to, key, options, route.change ? std::nullopt : std::optional(announced));
    const auto changed = route.change ? route.change(writer) : nullptr;
    codec::Sink& head = changed ? *changed : writer;
    Blob chunk(storage::read_chunk_bytes);
    for (;;) {
        const auto count = run_blocking(io, reader->read({chunk.data(), chunk.capacity()}), route.to.stop);
        if (count == 0) break;
        head.write({chunk.data(), count});
    }
    head.finish();
    if (writer.outcome() == storage::PutOutcome::exists)
        throw Error(ErrorKind::refused, fmt::format("{} came to be in {} meanwhile", key.path(), route.to.storage.describe()),
                    "does another program write there? Run the command again");
    return true;
}

Copied copy_objects(const CopyRoute& route, const std::vector<storage::ObjectInfo>& objects,
                    const std::vector<storage::ObjectInfo>& there, Existing existing) {
    std::map<std::string_view, std::uint64_t> sizes;
    for (const auto& object : there) sizes.emplace(object.key.path(), object.bytes);
    Copied copied;
    std::vector<const storage::ObjectInfo*> wanted;
    for (const auto& object : objects) {
        const auto found = sizes.find(object.key.path());
        if (existing == Existing::keep_same && found != sizes.end()) {
            if (found->second != object.bytes)
                throw Error(ErrorKind::refused,
                            fmt::format("{} has {} bytes in {}, and {} in {}: nothing is replaced", object.key.path(),
                                        object.bytes, route.from.describe(), found->second, route.to.storage.describe()),
                            "are the two archives of one cluster?");
            ++copied.there_already;
        } else
            wanted.push_back(&object);
    }
    std::atomic<std::uint64_t> objects_done = 0, bytes_done = 0;
    in_parallel(wanted.size(), route.at_once, [&](std::size_t index, const std::atomic<bool>&) {
        if (!copy_object(route, wanted[index]->key, existing)) return;
        ++objects_done;
        bytes_done += wanted[index]->bytes;
    });
    copied.objects = objects_done;
    copied.gone = wanted.size() - objects_done;
    copied.bytes = bytes_done;
    return copied;
}

} // namespace walgd::archive
