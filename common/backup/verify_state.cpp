#include "common/backup/verify_state.hpp"

#include "common/archive/json_text.hpp"
#include "common/archive/layout.hpp"
#include "common/base/time_text.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>

namespace walgd::backup {

namespace {

/// A state stays small, whatever happened to the archive: a verify of all names them all.
constexpr std::uint64_t kept_state_bytes_max = 16 << 20;
constexpr std::size_t damaged_max = 1000, cause_bytes_max = 300;

/// Its beginning, as far as whole characters go.
std::string_view shortened(std::string_view cause) {
    if (cause.size() <= cause_bytes_max) return cause;
    auto length = cause_bytes_max;
    while (length > 0 && (static_cast<unsigned char>(cause[length]) & 0xC0) == 0x80) --length;
    return cause.substr(0, length);
}

} // namespace

bool VerifyState::covers(const storage::ObjectKey& object, storage::Modified modified) const {
    return modified < until || (modified == until && (key.empty() || object.path() <= key));
}

std::string to_json(const VerifyState& state) {
    std::vector<std::string> damaged;
    for (const auto& [object, cause, planned] : state.damaged) {
        if (damaged.size() == damaged_max) break;
        damaged.push_back(fmt::format(R"({{"object":{},"cause":{}{}}})", archive::json_string(object),
                                      archive::json_string(shortened(cause)), planned ? R"(,"planned":true)" : ""));
    }
    return fmt::format(R"({{"checked_until":"{}","checked_key":{},"damaged":[{}]}})", format_time(state.until),
                       archive::json_string(state.key), fmt::join(damaged, ","));
}

VerifyState parse_verify_state(std::string_view text, const std::string& object) {
    const auto document = archive::parse_object(text, object);
    VerifyState state;
    const auto until = document.find("checked_until");
    const auto time = until != document.end() && until->is_string() ? parse_time(until->get<std::string>()) : std::nullopt;
    if (!time) throw Error(ErrorKind::corrupt, fmt::format("{} names no time", object), "remove it: the next run checks all");
    state.until = std::chrono::time_point_cast<storage::Modified::duration>(*time);
    if (const auto key = document.find("checked_key"); key != document.end() && key->is_string())
        state.key = key->get<std::string>();
    const auto damaged = document.find("damaged");
    if (damaged == document.end() || !damaged->is_array()) return state;
    for (const auto& one : *damaged) {
        if (!one.is_object() || !one.contains("object") || !one["object"].is_string() || !one.contains("cause") ||
            !one["cause"].is_string())
            throw Error(ErrorKind::corrupt, fmt::format("{} lists damage that has no name or cause", object),
                        "remove it: the next run checks all");
        const auto planned = one.find("planned");
        state.damaged.push_back({.object = one["object"].get<std::string>(),
                                 .cause = one["cause"].get<std::string>(),
                                 .planned = planned != one.end() && planned->is_boolean() && planned->get<bool>()});
    }
    return state;
}

namespace {

const archive::HeldObject* held(const std::vector<archive::HeldObject>& objects, std::string_view path) {
    const auto found = std::ranges::find(objects, path, [](const auto& one) -> std::string_view { return one.key.path(); });
    return found == objects.end() ? nullptr : &*found;
}

archive::HeldBackup* backup_of(archive::Inventory& inventory, std::string_view object) {
    const auto found = std::ranges::find(inventory.backups, archive::backup_of_data_object(object), &archive::HeldBackup::name);
    return found == inventory.backups.end() ? nullptr : &*found;
}

bool still_stands(const VerifyState& state, const archive::Inventory& inventory, const std::string& path) {
    const bool of_wal = path.starts_with(archive::wal_folder);
    if (const auto* object = held(of_wal ? inventory.wal_objects : inventory.backup_objects, path))
        return state.covers(object->key, object->modified);
    const auto folder = archive::backup_of_data_object(path);
    return !folder.empty() && std::ranges::find(inventory.backups, folder, &archive::HeldBackup::name) != inventory.backups.end();
}

} // namespace

storage::ObjectKey verify_state_key() { return storage::ObjectKey(std::string(archive::own_folder) + "verify.json"); }

awaitable<std::vector<Damage>> known_damage(archive::Archive& archive, const archive::Inventory& inventory) {
    const auto key = verify_state_key();
    const auto text = co_await storage::get_whole(archive.storage, key, kept_state_bytes_max);
    if (!text) co_return std::vector<Damage>();
    VerifyState state;
    try {
        state = parse_verify_state(text_of(text->view()), key.path());
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::corrupt) throw;
        co_return std::vector<Damage>();
    }
    std::erase_if(state.damaged, [&](const Damage& damage) { return !still_stands(state, inventory, damage.object); });
    co_return std::move(state.damaged);
}

void note_gone(archive::Inventory& inventory, const std::vector<Damage>& damaged) {
    for (const auto& damage : damaged) {
        const auto& object = damage.object;
        if (held(inventory.backup_objects, object) != nullptr) continue;
        auto* backup = backup_of(inventory, object);
        if (backup != nullptr && backup->missing_data.empty()) backup->missing_data = object.substr(object.rfind('/') + 1);
    }
}

} // namespace walgd::backup
