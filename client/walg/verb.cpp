#include "client/walg/verb.hpp"

#include "config/failover_settings.hpp"

namespace walgd::cli {

archive::Archive& Context::archive() {
    if (!setup_) setup_ = std::make_unique<config::ArchiveSetup>(settings, io, log, target_storage);
    return setup_->archive();
}

std::vector<std::string> Context::storage_names() const {
    std::vector<std::string> names;
    const auto target = target_storage.empty() ? settings.text("target_storage") : target_storage;
    for (const auto& storage : config::storage_settings(settings, target)) names.push_back(storage.name);
    return names;
}

void Context::add_requests(const storage::RequestMeter& meter) {
    for (const auto& [verb, counted] : meter.verbs()) others_[verb] += counted.requests;
}

std::map<std::string, std::uint64_t> Context::requests() const {
    auto sum = others_;
    if (setup_) {
        for (const auto& [verb, counted] : setup_->archive().meter->verbs()) sum[verb] += counted.requests;
    }
    std::erase_if(sum, [](const auto& entry) { return entry.second == 0; });
    return sum;
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
    verbs.push_back(make_catchup_push());
    verbs.push_back(make_catchup_fetch());
    verbs.push_back(make_catchup_list());
    verbs.push_back(make_catchup_send());
    verbs.push_back(make_catchup_receive());
    verbs.push_back(make_wal_show());
    verbs.push_back(make_wal_verify());
    verbs.push_back(make_backup_show());
    verbs.push_back(make_copy());
    verbs.push_back(make_st());
    verbs.push_back(make_pgbackrest());
    verbs.push_back(make_restore());
    verbs.push_back(make_restorable());
    verbs.push_back(make_backup_mark());
    verbs.push_back(make_delete());
    verbs.push_back(make_verify());
    verbs.push_back(make_doctor());
    verbs.push_back(make_config());
    verbs.push_back(make_adopt_system());
    verbs.push_back(make_daemon_status());
    verbs.push_back(make_show_schedule());
    verbs.push_back(make_reload());
    verbs.push_back(make_top());
    verbs.push_back(make_init());
    verbs.push_back(make_man());
    verbs.push_back(make_daemon());
    verbs.push_back(make_daemon_client());
    verbs.push_back(make_flags());
    verbs.push_back(make_help());
    verbs.push_back(make_completion());
    return verbs;
}

} // namespace walgd::cli
