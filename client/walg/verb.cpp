#include "client/walg/verb.hpp"

namespace walgd::cli {

archive::Archive& Context::archive() {
    if (!setup_) setup_ = std::make_unique<config::ArchiveSetup>(settings, io, log);
    return setup_->archive();
}

std::vector<std::unique_ptr<Verb>> all_verbs() {
    std::vector<std::unique_ptr<Verb>> verbs;
    verbs.push_back(make_wal_push());
    verbs.push_back(make_wal_fetch());
    verbs.push_back(make_wal_restore());
    verbs.push_back(make_wal_receive());
    verbs.push_back(make_backup_push());
    verbs.push_back(make_backup_fetch());
    verbs.push_back(make_backup_list());
    verbs.push_back(make_backup_mark());
    verbs.push_back(make_delete());
    verbs.push_back(make_verify());
    verbs.push_back(make_doctor());
    verbs.push_back(make_config());
    verbs.push_back(make_adopt_system());
    verbs.push_back(make_daemon_status());
    verbs.push_back(make_daemon());
    verbs.push_back(make_daemon_client());
    return verbs;
}

} // namespace walgd::cli
