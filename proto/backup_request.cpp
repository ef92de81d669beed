#include "proto/backup_request.hpp"

namespace walgd::proto {

namespace {

struct BackupFlag {
    char letter;
    bool BackupRequest::* value;
};

constexpr BackupFlag backup_flags[] = {
    {'p', &BackupRequest::permanent},
    {'f', &BackupRequest::full},
    {'s', &BackupRequest::name_all_corrupt},
    {'b', &BackupRequest::by_database},
    {'r', &BackupRequest::by_rating},
    {'c', &BackupRequest::copy_parts},
    {'w', &BackupRequest::without_files_metadata},
    {'j', &BackupRequest::count_journals},
    {'m', &BackupRequest::by_summaries},
    {'v', &BackupRequest::verify},
};

} // namespace

Frame to_frame(const BackupRequest& request, std::uint32_t number) {
    std::string flags;
    for (const auto& flag : backup_flags)
        if (request.*flag.value) flags += flag.letter;
    return {Type::backup_push,
            number,
            {request.pgdata, flags, request.user_data, request.from_name, request.from_user_data, request.place, request.pghost,
             request.pgport, request.encryption, request.settings}};
}

BackupRequest backup_request_of(const Frame& frame) {
    BackupRequest request;
    std::string flags;
    std::string* const fields[] = {&request.pgdata,         &flags,           &request.user_data, &request.from_name,
                                   &request.from_user_data, &request.place,   &request.pghost,    &request.pgport,
                                   &request.encryption,     &request.settings};
    std::size_t index = 0;
    for (auto* field : fields) *field = frame.field(index++);
    for (const auto& flag : backup_flags) request.*flag.value = flags.find(flag.letter) != std::string::npos;
    return request;
}

} // namespace walgd::proto
