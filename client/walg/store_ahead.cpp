#include "client/walg/store_ahead.hpp"
#include "common/base/run_all.hpp"
#include "common/pg/ready_files.hpp"

#include <algorithm>
#include <deque>
#include <filesystem>
#include <optional>
#include <sys/stat.h>
#include <utility>

namespace walgd::cli {

namespace {

/// Several workers take files from one line. Lives on the I/O thread while run() goes.
class StoreAhead {
public:
    StoreAhead(Context& context, std::string pg_wal) : context_(context), ready_(std::move(pg_wal)) {}

    /// PostgreSQL asks for history files first, then for the oldest.
    void line_up(const std::string& asked_for) {
        auto names = ready_.scan();
        std::erase(names, asked_for);
        std::ranges::sort(names, {}, [](const std::string& name) { return std::pair(!name.ends_with(".history"), name); });
        const auto limit = static_cast<std::size_t>(context_.settings.number("total_bg_uploaded_limit"));
        names.resize(std::min(names.size(), limit));
        line_.assign(names.begin(), names.end());
    }

    awaitable<void> run(archive::WalPushOptions options) {
        archive::WalPusher pusher(context_.archive(), std::move(options));
        std::vector<awaitable<void>> workers;
        const auto count = std::min<std::size_t>(context_.at_once(), line_.size());
        for (std::size_t index = 0; index < count; ++index) workers.push_back(work(pusher));
        co_await run_all(std::move(workers));
    }

    const std::vector<std::pair<std::string, archive::WalPushed>>& stored() const { return stored_; }

private:
    awaitable<void> work(archive::WalPusher& pusher) {
        while (!line_.empty()) {
            const auto name = std::move(line_.front());
            line_.pop_front();
            std::optional<Error> failure;
            try {
                co_await store(pusher, name);
            } catch (const Error& error) {
                failure = error;
            }
            if (failure && failure->kind() == ErrorKind::cancelled) throw *failure;
            if (failure) context_.log.warn("{} was not stored ahead: {}. PostgreSQL will ask for it", name, failure->what());
        }
    }

    awaitable<void> store(archive::WalPusher& pusher, std::string name) {
        auto file = ready_.open(name);
        struct stat about{};
        if (!file || ::fstat(file.get(), &about) != 0) co_return; // PostgreSQL forgets a .ready whose file is gone by itself
        const auto pushed = co_await pusher.push(name, std::move(file));
        stored_.emplace_back(name, pushed);
        // While the storage was away another cluster may have come to that place.
        if (ready_.is_still(name, about)) ready_.mark_done(name);
    }

    Context& context_;
    pg::ReadyFiles ready_;
    std::deque<std::string> line_;
    std::vector<std::pair<std::string, archive::WalPushed>> stored_;
};

} // namespace

void store_ahead(Context& context, const std::string& asked_for, const archive::WalPushOptions& options,
                 const std::function<void(const std::string&, const archive::WalPushed&)>& stored) {
    const auto path = std::filesystem::absolute(asked_for);
    StoreAhead ahead(context, path.parent_path().string());
    try {
        ahead.line_up(path.filename().string());
        run_blocking(context.io, ahead.run(options), context.stop);
    } catch (const Error& error) {
        if (error.kind() == ErrorKind::cancelled) throw;
        context.log.warn("nothing is stored ahead: {}", error.what());
    }
    for (const auto& [name, pushed] : ahead.stored()) stored(name, pushed);
}

} // namespace walgd::cli
