#pragma once
#include "common/base/log.hpp"
#include "common/pg/server.hpp"

#include <cstdint>
#include <stop_token>
#include <string_view>
#include <vector>

namespace walgd::backup {

/// How much each table of a cluster is written to, as its files tell by their names: for WAL-G's rating composer. 16 bytes for
/// each file node that was ever written to.
class Ratings {
public:
    /// `rows` were written of what is in the files of `file_node`. `database`: 0 for what all share.
    void add(std::uint32_t database, std::uint32_t file_node, std::uint64_t rows);
    /// After the last add(), before the first question.
    void seal();
    bool empty() const { return counts_.empty(); }
    /// Of a member, "/base/5/16384.1": the rows written of its table; 0: none, or nobody knows.
    std::uint64_t of(std::string_view member) const;

    /// Members of one class belong together: relations not written to, up to a thousand rows, up to a million, more. What is no
    /// relation's is of the last class: it is little, and much of it is written with every checkpoint.
    static constexpr unsigned classes = 4;
    static unsigned class_of(std::uint64_t rows);
    unsigned class_of_member(std::string_view member) const;
    /// Whether any member can be of it.
    bool has_class(unsigned number) const { return number == 0 || number == classes - 1 || has_[number]; }

private:
    struct Count {
        std::uint64_t file; ///< database and file node
        std::uint64_t rows;
    };
    std::vector<Count> counts_;
    bool has_[classes] = {};
};

/// What PostgreSQL's statistics tell: rows inserted, updated and deleted of each table, counted for its indexes as well. One
/// connection to each database, one after the other, with the options of `connection`; one that cannot be asked is left out with
/// a warning. Only Error(cancelled) and the loss of `server` are thrown.
Ratings collect_ratings(pg::Server& server, const pg::ConnectionOptions& connection, Log& log, std::stop_token stop);

} // namespace walgd::backup
