#pragma once
#include "proto/frame.hpp"

namespace walgd::proto {

/// What Type::backup_push asks for. Its fields: pgdata, flags (a letter each, in backup_request.cpp), user data, delta from name,
/// delta from user data, where the archive is, pghost, pgport, encryption, settings. What is empty, or missing at the end, is as
/// the daemon's own settings have it.
struct BackupRequest {
    std::string pgdata, user_data, from_name, from_user_data;
    bool permanent = false, full = false, verify = false;
    bool name_all_corrupt = false;
    bool by_database = false, by_rating = false;
    bool copy_parts = false;
    bool without_files_metadata = false;
    bool count_journals = false;
    bool by_summaries = false; ///< the changed pages as PostgreSQL's summaries of the WAL tell them
    /// What the client's settings name. A daemon that has others leaves the backup to the client.
    std::string place, pghost, pgport, encryption;
    std::string settings; ///< what a person said of this backup alone: a line for each, "delta_max_steps=0"
};

Frame to_frame(const BackupRequest& request, std::uint32_t number);
BackupRequest backup_request_of(const Frame& frame);

} // namespace walgd::proto
