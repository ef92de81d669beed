#include "common/backup/push/tar_upload.hpp"

#include "common/backup/push/delta_files.hpp"

namespace walgd::backup {

namespace {

std::string folder_of(std::string_view member) {
    const auto name = (member.starts_with('/') ? "" : "/") + std::string(member);
    const auto place = relation_place(name);
    return place ? std::string(place->folder) : std::string();
}

} // namespace

TarUpload::TarUpload(UploadRoom& room, std::string name, const storage::ObjectKey& key)
    : name_(std::move(name)), upload_(room, key), chain_(room.archive.packing, codec::Content::pages, upload_),
      writer_(chain_.head()) {}

std::uint64_t TarUpload::finish() {
    writer_.finish();
    return upload_.bytes();
}

bool same_database(std::string_view last, std::string_view member) { return folder_of(last) == folder_of(member); }

} // namespace walgd::backup
