#include "common/archive/wal/wal_find.hpp"

#include "common/archive/layout.hpp"
#include "common/pg/wal_name.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <set>

namespace walgd::archive {

namespace {

constexpr std::size_t missed_max = 16;

/// The objects that may hold `name`.
std::vector<WalObject> every_object(const std::string& name) {
    std::vector<WalObject> objects;
    for (const auto* method : codec::compressions()) objects.push_back({wal_key(name, method->suffix()), method, nullptr});
    // WAL-G 3.0.8 and earlier wrote a trailing dot with method none.
    const storage::ObjectKey dotted(fmt::format("{}{}.", wal_folder, name));
    objects.push_back({dotted, codec::compression_by_suffix(""), nullptr});
    return objects;
}

[[noreturn]] void refuse_lzo(const storage::ObjectKey& key) {
    throw Error(ErrorKind::corrupt, fmt::format("{} is packed with lzo, which walgd does not read", key.path()),
                "WAL-G reads it: fetch it with that, and store it anew with walg wal-push");
}

} // namespace

bool WalFinder::hardly_there(const std::string& name) const {
    const auto kind = pg::wal_file_kind(name);
    // PostgreSQL asks for one history file more than there are, and in recovery for each segment on the newest timeline first.
    if (kind == pg::WalFileKind::history) return true;
    if (kind == pg::WalFileKind::segment && !timeline_.empty() && name.substr(0, pg::timeline_digits) > timeline_) return true;
    return std::ranges::find(missed_, name) != missed_.end();
}

void WalFinder::note_missed(const std::string& name) {
    if (std::ranges::find(missed_, name) != missed_.end()) return;
    missed_.push_back(name);
    if (missed_.size() > missed_max) missed_.pop_front();
}

void WalFinder::note_found(const std::string& name, const codec::Compression* compression) {
    expected_ = compression;
    std::erase(missed_, name);
    if (pg::wal_file_kind(name) == pg::WalFileKind::segment) timeline_ = name.substr(0, pg::timeline_digits);
}

awaitable<std::optional<WalObject>> WalFinder::find_expected(std::string name) {
    const auto* method = expected_;
    const auto key = wal_key(name, method->suffix());
    auto reader = co_await archive_.storage.get(key, {});
    if (reader) co_return WalObject{key, method, std::move(reader)};
    note_missed(name);
    co_return std::nullopt;
}

awaitable<std::vector<WalObject>> WalFinder::list(std::string name) {
    auto found = every_object(name);
    std::set<storage::ObjectKey> there;
    storage::ListOptions options;
    options.name_prefix = name;
    // Another name than PostgreSQL's may be the beginning of many: it is looked for under each suffix.
    for (bool more = pg::wal_file_kind(name).has_value(); more;) {
        const auto page = co_await archive_.storage.list(std::string(wal_folder), options);
        for (const auto& object : page.objects) there.insert(object.key);
        more = page.next.has_value();
        options.token = page.next;
    }
    if (pg::wal_file_kind(name)) std::erase_if(found, [&](const WalObject& object) { return !there.contains(object.key); });
    // Recovery must not end as if there were none.
    if (const auto lzo = wal_key(name, codec::lzo_suffix); found.empty() && there.contains(lzo)) refuse_lzo(lzo);
    const auto first = std::ranges::find(found, expected_, &WalObject::compression);
    if (first != found.end()) std::iter_swap(found.begin(), first);
    co_return found;
}

awaitable<std::optional<WalObject>> WalFinder::find(std::string name) {
    if (!hardly_there(name)) {
        auto object = co_await find_expected(name);
        if (object) {
            note_found(name, object->compression);
            co_return object;
        }
    }
    auto listed = co_await list(name);
    for (auto& object : listed) {
        object.reader = co_await archive_.storage.get(object.key, {});
        if (!object.reader) continue; // removed since it was listed
        note_found(name, object.compression);
        co_return std::move(object);
    }
    note_missed(name);
    co_return std::nullopt;
}

} // namespace walgd::archive
