#pragma once
#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

/// Which pages of a cluster's relations were changed by a stretch of WAL.
namespace walgd::pg {

/// A relation as WAL names it: oids of tablespace (1663: pg_default) and database, and its file node.
struct RelationId {
    std::uint32_t tablespace = 0, database = 0, relation = 0;
    friend auto operator<=>(const RelationId&, const RelationId&) = default;
};

inline constexpr std::uint32_t main_fork = 0; ///< the number of the fork that holds the relation's pages

/// Numbers of blocks, two bytes each while they are few, one bit each where they are many.
class BlockSet {
public:
    void add(std::uint32_t block);
    /// Forgets `limit` and all behind it.
    void cut(std::uint32_t limit);
    bool contains(std::uint32_t block) const;
    /// Those from `first` on, before `end`, ascending.
    std::vector<std::uint32_t> between(std::uint64_t first, std::uint64_t end) const;
    std::uint64_t size() const;
    /// Adds those of `other`.
    void merge(const BlockSet& other);

private:
    static constexpr std::size_t few_max = 4096;
    struct Chunk {                      // of 65536 blocks
        std::vector<std::uint16_t> few; ///< ascending; empty once there are bits
        std::vector<std::uint64_t> bits;
    };
    static void add(Chunk& chunk, std::uint16_t block);
    template <class Visit> static void each(const Chunk& chunk, Visit visit);

    std::map<std::uint32_t, Chunk> chunks_;
};

/// What happened to a relation's main fork.
struct ForkChanges {
    /// The relation was made, dropped (0) or truncated to so few blocks: what is behind may be anything, also pages that no WAL
    /// speaks of.
    std::optional<std::uint32_t> limit{};
    BlockSet blocks{};

    /// As the WAL goes on.
    void truncate(std::uint32_t to);
};

/// Filled in the order of the WAL. Other forks than the main one are not kept: they are small, and copied whole.
class BlockChanges {
public:
    ForkChanges& of(const RelationId& relation) { return relations_[relation]; }
    /// A database's folder in one tablespace was made or removed: nothing in it is as it was.
    void replace_database(std::uint32_t tablespace, std::uint32_t database) { databases_.insert({tablespace, database}); }
    /// What comes later in the WAL.
    void append(const BlockChanges& later);

    /// nullptr: the WAL says nothing of it.
    const ForkChanges* find(const RelationId& relation) const;
    bool replaced(std::uint32_t tablespace, std::uint32_t database) const { return databases_.contains({tablespace, database}); }
    const std::map<RelationId, ForkChanges>& relations() const { return relations_; }
    const std::set<std::pair<std::uint32_t, std::uint32_t>>& databases() const { return databases_; }

private:
    std::map<RelationId, ForkChanges> relations_;
    std::set<std::pair<std::uint32_t, std::uint32_t>> databases_;
};

} // namespace walgd::pg
