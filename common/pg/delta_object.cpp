#include "common/pg/delta_object.hpp"

#include "common/base/error.hpp"
#include "common/pg/wal_name.hpp"

#include <array>
#include <cstring>
#include <fmt/format.h>

namespace walgd::pg {

namespace {

enum Own : std::uint32_t { system = 1, start = 2, end = 3, database = 4, relation = 5, limit = 6 };

constexpr unsigned half_bits = 32;
constexpr std::uint64_t blocks_end = 1ULL << 32;

using Entry = std::array<std::uint32_t, 4>;
constexpr Entry last_entry{};

void put(std::string& text, const Entry& entry) { text.append(reinterpret_cast<const char*>(entry.data()), sizeof entry); }

void put(std::string& text, Own kind, std::uint64_t number) {
    put(text, {0, kind, static_cast<std::uint32_t>(number >> half_bits), static_cast<std::uint32_t>(number)});
}

void put(std::string& text, const RelationId& id, const ForkChanges& fork) {
    if (fork.limit) {
        put(text, {0, Own::relation, id.tablespace, id.database});
        put(text, {0, Own::limit, id.relation, *fork.limit});
    }
    for (const auto block : fork.blocks.between(0, blocks_end)) put(text, {id.tablespace, id.database, id.relation, block});
}

std::uint64_t entry_number(const Entry& entry) { return std::uint64_t{entry[2]} << half_bits | entry[3]; }

class Parser {
public:
    Parser(ByteView content, std::string_view file) : rest_(content), file_(file) {}

    DeltaObject run() {
        DeltaObject object;
        const auto entry = take();
        if (is(entry, Own::system))
            read_ours(SystemIdentifier(entry_number(entry)), object);
        else
            read_pages(entry, object.sections.emplace_back().changes);
        object.tail = tail();
        return object;
    }

private:
    static bool is(const Entry& entry, Own kind) { return entry[0] == 0 && entry[1] == kind; }
    [[noreturn]] void refuse(std::string_view cause) const {
        throw Error(ErrorKind::corrupt, fmt::format("{} is no map of changed pages: {}", file_, cause));
    }
    void take(void* into, std::size_t bytes) {
        if (rest_.size() < bytes) refuse("it is cut");
        std::memcpy(into, rest_.data(), bytes);
        rest_ = rest_.subspan(bytes);
    }
    Entry take() {
        Entry entry;
        take(entry.data(), sizeof entry);
        return entry;
    }
    Entry take(Own kind) {
        const auto entry = take();
        if (!is(entry, kind)) refuse(fmt::format("an entry 0/{} where 0/{} belongs", entry[1], static_cast<unsigned>(kind)));
        return entry;
    }
    void read_ours(SystemIdentifier cluster, DeltaObject& object) {
        auto entry = take(Own::start);
        while (is(entry, Own::start)) {
            const Lsn begin(entry_number(entry));
            if (!object.sections.empty() && begin < object.sections.back().start) refuse("its sections are out of order");
            auto& section = object.sections.emplace_back(begin);
            for (entry = take(); !is(entry, Own::start) && !is(entry, Own::end); entry = take()) add(entry, section.changes);
        }
        object.proof = DeltaProof{cluster, object.sections.front().start, Lsn(entry_number(entry))};
        if (take() != last_entry) refuse("something follows its last entry");
    }
    void read_pages(Entry entry, BlockChanges& changes) {
        for (; entry != last_entry; entry = take()) {
            if (entry[0] == 0) refuse("an entry of no tablespace");
            changes.of({entry[0], entry[1], entry[2]}).blocks.add(entry[3]);
        }
    }
    void add(const Entry& entry, BlockChanges& changes) {
        if (entry[0] != 0) {
            changes.of({entry[0], entry[1], entry[2]}).blocks.add(entry[3]);
        } else if (is(entry, Own::database)) {
            changes.replace_database(entry[2], entry[3]);
        } else if (is(entry, Own::relation)) {
            const auto named = take(Own::limit);
            changes.of({entry[2], entry[3], named[2]}).truncate(named[3]);
        } else {
            refuse(fmt::format("an entry 0/{} that this version does not know", entry[1]));
        }
    }
    std::string tail() {
        std::uint32_t bytes = 0;
        take(&bytes, sizeof bytes);
        if (rest_.size() != bytes) refuse("its end has another length than it says");
        return std::string(text_of(rest_));
    }

    ByteView rest_;
    std::string_view file_;
};

} // namespace

std::string delta_object_name(TimelineId timeline, std::uint64_t group, std::uint64_t segment_bytes) {
    return segment_name({timeline, group * delta_group_segments}, segment_bytes) + "_delta";
}

std::string delta_object_begin(SystemIdentifier system) {
    std::string text;
    put(text, Own::system, system.number());
    return text;
}

std::string delta_object_section(const DeltaSection& section) {
    std::string text;
    put(text, Own::start, section.start.bytes());
    for (const auto& [tablespace, database] : section.changes.databases()) put(text, {0, Own::database, tablespace, database});
    for (const auto& [id, fork] : section.changes.relations()) put(text, id, fork);
    return text;
}

std::string delta_object_end(Lsn end, std::string_view tail) {
    std::string text;
    put(text, Own::end, end.bytes());
    put(text, last_entry);
    const auto tail_bytes = static_cast<std::uint32_t>(tail.size());
    text.append(reinterpret_cast<const char*>(&tail_bytes), sizeof tail_bytes);
    return text.append(tail);
}

DeltaObject parse_delta_object(ByteView content, std::string_view file) { return Parser(content, file).run(); }

} // namespace walgd::pg
