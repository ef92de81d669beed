#include "common/backup/files_spool.hpp"

#include "common/base/files.hpp"

#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>

namespace walgd::backup {

namespace {

constexpr std::size_t buffer_bytes = 128 << 10;

UniqueFd unnamed_file() {
    const auto folder = std::filesystem::temp_directory_path().string();
    return open_file(folder, O_TMPFILE | O_RDWR | O_CLOEXEC);
}

} // namespace

FilesSpool::FilesSpool()
    : text_(unnamed_file()), members_(unnamed_file()), writer_([this](std::string_view text) { append_text(text); }) {}

void FilesSpool::append_text(std::string_view text) {
    buffer_ += text;
    if (buffer_.size() < buffer_bytes) return;
    write_all(text_.get(), bytes_of(buffer_), "the temporary file of files_metadata.json");
    buffer_.clear();
}

void FilesSpool::add(std::string_view member, const archive::FileDescription& file) {
    const std::lock_guard lock(mutex_);
    writer_.add(member, file);
}

void FilesSpool::part(std::string tar, const std::vector<std::string>& members) {
    std::string names;
    for (const auto& member : members) names += member + '\0';
    const std::lock_guard lock(mutex_);
    write_all(members_.get(), bytes_of(names), "the temporary file of files_metadata.json");
    parts_.push_back({std::move(tar), members_bytes_, names.size()});
    members_bytes_ += names.size();
}

void FilesSpool::finish(codec::Sink& out) {
    for (const auto& part : parts_) {
        std::string names(part.bytes, '\0');
        read_at(members_.get(), std::as_writable_bytes(std::span(names)), part.offset,
                "the temporary file of files_metadata.json");
        std::vector<std::string> members;
        for (std::size_t begin = 0; begin < names.size(); begin = names.find('\0', begin) + 1)
            members.emplace_back(names.c_str() + begin);
        writer_.part(part.tar, members);
    }
    writer_.finish();
    Blob chunk(buffer_bytes);
    for (std::uint64_t offset = 0;;) {
        const auto count =
            read_at(text_.get(), {chunk.data(), chunk.capacity()}, offset, "the temporary file of files_metadata.json");
        if (count == 0) break;
        out.write({chunk.data(), count});
        offset += count;
    }
    out.write(bytes_of(buffer_));
    out.finish();
}

} // namespace walgd::backup
