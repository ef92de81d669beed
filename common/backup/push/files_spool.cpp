#include "common/backup/push/files_spool.hpp"

namespace walgd::backup {

namespace {

constexpr auto spool_file = "the temporary file of files_metadata.json";

} // namespace

FilesSpool::FilesSpool()
    : text_(spool_file), members_(spool_file), databases_(spool_file),
      writer_([this](std::string_view text) { text_.append(text); }) {}

void FilesSpool::add(std::string_view member, const archive::FileDescription& file) {
    const std::lock_guard lock(mutex_);
    writer_.add(member, file);
}

void FilesSpool::part(std::string tar, const std::vector<std::string>& members) {
    std::string names;
    for (const auto& member : members) names += member + '\0';
    const std::lock_guard lock(mutex_);
    parts_.push_back({std::move(tar), members_.bytes(), names.size()});
    members_.append(names);
}

void FilesSpool::finish(codec::Sink& out) {
    for (const auto& part : parts_) {
        const auto names = members_.read(part.offset, part.bytes);
        std::vector<std::string> members;
        for (std::size_t begin = 0; begin < names.size(); begin = names.find('\0', begin) + 1)
            members.emplace_back(names.c_str() + begin);
        writer_.part(part.tar, members);
    }
    databases_.copy_to([this](std::string_view text) { writer_.databases(text); });
    writer_.finish();
    text_.copy_to([&out](std::string_view text) { out.write(bytes_of(text)); });
    out.finish();
}

} // namespace walgd::backup
