#include "common/backup/push/intent.hpp"

#include "common/archive/json_text.hpp"

#include <fmt/format.h>
#include <optional>

namespace walgd::backup {

namespace {

constexpr std::size_t remove_batch = 1000;
constexpr std::chrono::seconds release_limit{20};

// Of several storages those that answer count throughout: a backup's objects are in one, and what a dead one holds is found when
// it answers again.

storage::ObjectKey key_of(const Intent& intent) { return archive::intent_key(intent.backup, intent.folder); }

std::string intent_json(const Intent& intent) {
    return fmt::format(R"({{"backup":{},"host":{},"data_dir":{},"folder":{},"server_started":{},"server_seen":{}}})",
                       archive::json_string(intent.backup), archive::json_string(intent.host),
                       archive::json_string(intent.data_dir), archive::json_string(intent.folder), intent.server.started,
                       intent.server.seen);
}

Intent parse_intent(std::string_view text, const std::string& object) {
    const auto document = archive::parse_object(text, object);
    Intent intent;
    for (const auto& [key, into] :
         {std::pair("backup", &intent.backup), std::pair("host", &intent.host), std::pair("data_dir", &intent.data_dir)}) {
        const auto found = document.find(key);
        if (found == document.end() || !found->is_string())
            throw Error(ErrorKind::corrupt, fmt::format("{} has no {}", object, key), "remove it by hand");
        *into = found->get<std::string>();
    }
    // An older release made base backups only, and told no folder.
    if (const auto folder = document.find("folder"); folder != document.end())
        intent.folder = folder->is_string() ? folder->get<std::string>() : std::string();
    for (const auto& [key, into] :
         {std::pair("server_started", &intent.server.started), std::pair("server_seen", &intent.server.seen)}) {
        if (const auto found = document.find(key); found != document.end() && found->is_number_unsigned())
            *into = found->get<std::uint64_t>();
    }
    const bool known = intent.folder == archive::backup_folder || intent.folder == archive::catchup_folder;
    if (!known || !archive::valid_backup_name(intent.backup))
        throw Error(ErrorKind::corrupt, fmt::format("{} names no backup", object), "remove it by hand");
    return intent;
}

awaitable<void> remove_keys(archive::Archive& archive, std::vector<storage::ObjectKey> keys) {
    const auto failures = co_await archive.storage.answering().remove(std::move(keys));
    if (failures.empty()) co_return;
    throw Error(failures.front().error.kind(),
                fmt::format("{} objects could not be removed, the first is {}: {}", failures.size(), failures.front().key.path(),
                            failures.front().error.what()),
                failures.front().error.hint());
}

awaitable<void> remove_objects(archive::Archive& archive, Intent intent) {
    const auto sentinel = co_await archive.storage.answering().head(archive::sentinel_key(intent.backup, intent.folder));
    if (!sentinel) {
        const auto folder = fmt::format("{}{}/", intent.folder, intent.backup);
        const auto found = co_await storage::list_all(archive.storage.answering(), folder, true);
        for (std::size_t begin = 0; begin < found.objects.size(); begin += remove_batch) {
            std::vector<storage::ObjectKey> keys;
            for (auto index = begin; index < std::min(begin + remove_batch, found.objects.size()); ++index)
                keys.push_back(found.objects[index].key);
            co_await remove_keys(archive, std::move(keys));
        }
        co_await archive.storage.answering().remove_stale_uploads(folder, std::chrono::seconds(0));
    }
    std::vector<storage::ObjectKey> last{key_of(intent)};
    co_await remove_keys(archive, std::move(last));
}

awaitable<void> claim_name(archive::Archive& archive, Intent intent) {
    const auto sentinel = co_await archive.storage.answering().head(archive::sentinel_key(intent.backup, intent.folder));
    if (sentinel)
        throw Error(ErrorKind::refused, fmt::format("backup {} exists already, and nothing is overwritten", intent.backup),
                    "no WAL was written since it was taken: try again when the cluster was written to");
    const auto text = intent_json(intent);
    const storage::PutOptions first{.if_absent = true, .metadata = {}};
    const auto outcome = co_await archive.storage.put(key_of(intent), bytes_of(text), first);
    if (outcome == storage::PutOutcome::stored) co_return;
    throw Error(ErrorKind::refused,
                fmt::format("backup {} is being taken by another host: {} is there", intent.backup, key_of(intent).path()),
                "wait for it; if no other host backs this cluster up, remove that object");
}

} // namespace

void claim(archive::Archive& archive, const Intent& intent, std::stop_token stop) {
    run_blocking(archive.io, claim_name(archive, intent), std::move(stop));
}

void remove_unfinished(archive::Archive& archive, const Intent& intent, std::chrono::seconds limit) {
    auto late = fmt::format("the storage did not answer within {} s", limit.count());
    run_blocking(archive.io, within(limit, remove_objects(archive, intent), std::move(late)));
}

void release(archive::Archive& archive, const Intent& intent) {
    try {
        std::vector<storage::ObjectKey> keys{key_of(intent)};
        run_blocking(archive.io, within(release_limit, remove_keys(archive, std::move(keys)), "no answer"));
    } catch (const std::exception&) {
        archive.log.warn("{} could not be removed, the next backup-push does it: {}", key_of(intent).path(),
                         describe(std::current_exception()));
    }
}

namespace {

/// Nothing, with a warning, where nobody can tell whose it is: what is in walgd_005/ keeps no backup from being taken.
std::optional<Intent> readable_intent(archive::Archive& archive, std::string_view text, const storage::ObjectKey& key) {
    try {
        return parse_intent(text, key.path());
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::corrupt) throw;
        archive.log.warn("{}: passed over; remove it, and what lies in {} without a sentinel goes with delete garbage",
                         error.what(), archive::backup_folder);
        return std::nullopt;
    }
}

} // namespace

bool is_leftover(const Intent& intent, const Intent& own) {
    if (intent.host != own.host || intent.data_dir != own.data_dir) return false;
    return intent.server.started == 0 || intent.server.started == own.server.started || intent.server.seen < own.server.started;
}

void remove_leftovers(archive::Archive& archive, const Intent& own, std::stop_token stop) {
    const auto found =
        run_blocking(archive.io, storage::list_all(archive.storage.answering(), std::string(archive::jobs_folder), false), stop);
    for (const auto& object : found.objects) {
        const auto content = run_blocking(archive.io, storage::get_whole(archive.storage.answering(), object.key, 1 << 20), stop);
        if (!content) continue;
        const auto intent = readable_intent(archive, text_of(content->view()), object.key);
        if (!intent) continue;
        if (!is_leftover(*intent, own)) {
            const bool same_name = intent->host == own.host && intent->data_dir == own.data_dir;
            archive.log.info(
                "{} says that {} takes backup {} of {}; if it does not any more, remove that object and the backup's folder",
                object.key.path(), same_name ? "another server on a host called " + intent->host : intent->host, intent->backup,
                intent->data_dir);
            continue;
        }
        archive.log.info("removing what an interrupted backup left: {}", intent->backup);
        run_blocking(archive.io, remove_objects(archive, *intent), stop);
    }
}

} // namespace walgd::backup
