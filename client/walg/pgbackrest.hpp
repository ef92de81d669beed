#pragma once
#include "client/walg/verb.hpp"
#include "common/pgbackrest/repository.hpp"

/// The words of `pgbackrest`: one file for each.
namespace walgd::cli {

/// One word of `pgbackrest`.
class PgbackrestWord {
public:
    virtual ~PgbackrestWord() = default;
    virtual std::string name() const = 0;
    virtual std::string help() const = 0;
    virtual void options(CLI::App& command) = 0;
    virtual int run(Context& context, pgbackrest::Repository& repository) = 0;
    /// As Verb's.
    virtual int failure_code(bool as_walg) const {
        static_cast<void>(as_walg);
        return 1;
    }
};

std::unique_ptr<PgbackrestWord> make_pgbackrest_backup_fetch(); // pgbackrest_backup_fetch.cpp
std::unique_ptr<PgbackrestWord> make_pgbackrest_backup_list();  // pgbackrest_backup_list.cpp
std::unique_ptr<PgbackrestWord> make_pgbackrest_wal_fetch();    // pgbackrest_wal_fetch.cpp
std::unique_ptr<PgbackrestWord> make_pgbackrest_wal_show();     // pgbackrest_wal_show.cpp

} // namespace walgd::cli
