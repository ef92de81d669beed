#include "common/archive/retention/kept_alone.hpp"

#include "common/archive/json_text.hpp"
#include "common/archive/layout.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <vector>

namespace walgd::archive {

namespace {

constexpr std::uint64_t record_bytes_max = 16 << 20;

std::set<std::string> parse_kept_alone(std::string_view text, const std::string& object) {
    const auto document = parse_object(text, object);
    const auto backups = document.find("backups");
    const auto refuse = [&] {
        throw Error(ErrorKind::corrupt, fmt::format("{} does not list backups", object),
                    "remove it: gaps behind backups that were kept with their own WAL alone are told as lost then");
    };
    if (backups == document.end() || !backups->is_array()) refuse();
    std::set<std::string> names;
    for (const auto& name : *backups) {
        if (!name.is_string()) refuse();
        names.insert(name.get<std::string>());
    }
    return names;
}

} // namespace

storage::ObjectKey kept_alone_key() { return storage::ObjectKey(fmt::format("{}kept_alone.json", own_folder)); }

awaitable<std::set<std::string>> read_kept_alone(storage::Storage& storage) {
    const auto text = co_await storage::get_whole(storage, kept_alone_key(), record_bytes_max);
    if (!text) co_return std::set<std::string>();
    co_return parse_kept_alone(text_of(text->view()), kept_alone_key().path());
}

awaitable<void> note_kept_alone(storage::Storage& storage, std::set<std::string> names, std::set<std::string> held) {
    if (names.empty()) co_return;
    std::set<std::string> known;
    try {
        known = co_await read_kept_alone(storage);
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::corrupt) throw;
    }
    auto now = known;
    now.merge(names);
    std::erase_if(now, [&held](const std::string& name) { return !held.contains(name); });
    if (now == known) co_return;
    std::vector<std::string> quoted;
    for (const auto& name : now) quoted.push_back(json_string(name));
    const auto text = fmt::format(R"({{"backups":[{}]}})", fmt::join(quoted, ","));
    co_await storage.put(kept_alone_key(), bytes_of(text), {});
}

} // namespace walgd::archive
