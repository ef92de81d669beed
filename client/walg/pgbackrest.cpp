#include "client/walg/pgbackrest.hpp"

#include <algorithm>

namespace walgd::cli {

namespace {

class Pgbackrest : public Verb {
public:
    Pgbackrest() {
        for (auto* make :
             {&make_pgbackrest_backup_list, &make_pgbackrest_backup_fetch, &make_pgbackrest_wal_fetch, &make_pgbackrest_wal_show})
            words_.push_back(make());
    }
    std::string name() const override { return "pgbackrest"; }
    std::string help() const override {
        return "Read a repository that pgBackRest wrote: the prefix is its root, PGBACKREST_STANZA names the stanza";
    }

    void options(CLI::App& command) override {
        command.require_subcommand(1);
        for (const auto& word : words_) {
            auto* sub = command.add_subcommand(word->name(), word->help());
            sub->fallthrough();
            word->options(*sub);
            sub->callback([this, word = word.get()] { chosen_ = word; });
        }
    }

    int run(Context& context) override {
        pgbackrest::Repository repository(context.archive(), context.settings.text("pgbackrest_stanza"));
        return chosen_->run(context, repository);
    }

    int failure_code(bool as_walg) const override {
        return chosen_ == nullptr ? Verb::failure_code(as_walg) : chosen_->failure_code(as_walg);
    }

    int usage_code(const std::vector<std::string>& words, bool as_walg) const override {
        for (const auto& word : words_) {
            if (std::ranges::find(words, word->name()) != words.end()) return word->failure_code(as_walg);
        }
        return Verb::failure_code(as_walg);
    }

private:
    std::vector<std::unique_ptr<PgbackrestWord>> words_;
    PgbackrestWord* chosen_ = nullptr;
};

} // namespace

std::unique_ptr<Verb> make_pgbackrest() { return std::make_unique<Pgbackrest>(); }

} // namespace walgd::cli
