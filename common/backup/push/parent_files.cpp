#include "common/backup/push/parent_files.hpp"

#include "common/archive/layout.hpp"
#include "common/base/sha256.hpp"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>

namespace walgd::backup {

ParentFiles::Name ParentFiles::hash(std::string_view member) {
    const auto digest = sha256(bytes_of(member));
    Name name;
    std::memcpy(name.data(), digest.data(), sizeof name);
    return name;
}

void ParentFiles::add(std::string_view member, Time modified) {
    files_.push_back({hash(member), modified.time_since_epoch().count()});
}

void ParentFiles::seal() { std::ranges::sort(files_, {}, &File::name); }

std::optional<Time> ParentFiles::find(const Name& name) const {
    const auto found = std::ranges::lower_bound(files_, name, {}, &File::name);
    if (found == files_.end() || found->name != name) return std::nullopt;
    return Time(std::chrono::nanoseconds(found->modified));
}

ParentFiles read_parent_files(archive::Archive& archive, const std::string& backup, std::stop_token stop) {
    const auto key = archive::files_metadata_key(backup);
    const OnIoThread reader(archive.io, run_blocking(archive.io, archive.storage.get(key, {}), stop));
    if (!reader)
        throw Error(ErrorKind::corrupt, fmt::format("{} is not there", key.path()), "was it deleted? Take a full backup: --full");
    ParentFiles files;
    archive::FilesMetadataReader::Callbacks callbacks;
    callbacks.file = [&files](std::string_view member, const archive::FileDescription& file) {
        files.add(member, file.modified);
    };
    archive::FilesMetadataReader document(std::move(callbacks), key.path());
    Blob chunk(storage::read_chunk_bytes);
    for (;;) {
        const auto count = run_blocking(archive.io, reader->read({chunk.data(), chunk.capacity()}), stop);
        if (count == 0) break;
        document.write(text_of({chunk.data(), count}));
    }
    document.finish();
    files.seal();
    return files;
}

} // namespace walgd::backup
