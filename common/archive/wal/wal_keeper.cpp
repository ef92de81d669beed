#include "common/archive/wal/wal_keeper.hpp"

#include "common/base/error.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace walgd::archive {

namespace {

constexpr std::chrono::milliseconds first_push_pause{500}, longest_push_pause{30'000};

/// Settings and rights were good when it began: until somebody mends them, they are an outage like any other. Waiting loses
/// nothing, since the server keeps what is not confirmed.
bool is_outage(ErrorKind kind) {
    return kind != ErrorKind::corrupt && kind != ErrorKind::refused && kind != ErrorKind::cancelled;
}

awaitable<WalPushed> push_until_stored(Archive& archive, WalPusher& pusher, std::string name, const SegmentFile& file) {
    for (auto pause = first_push_pause;; pause = std::min(2 * pause, longest_push_pause)) {
        std::optional<Error> failure;
        try {
            auto pushed = co_await pusher.push(name, file.duplicate());
            co_return pushed;
        } catch (const Error& error) {
            failure = error;
        }
        if (!is_outage(failure->kind())) throw *failure;
        archive.log.warn("{}; trying again in {} ms, the server keeps the WAL until then", failure->what(), pause.count());
        co_await sleep_for(pause);
    }
}

} // namespace

struct WalKeeper::Push {
    Push(std::string wal_name, SegmentFile wal) : name(std::move(wal_name)), file(std::move(wal)) {}

    std::string name;
    SegmentFile file;
    std::promise<WalPushed> promise;
    std::future<WalPushed> result = promise.get_future();
    std::shared_ptr<asio::cancellation_signal> signal = std::make_shared<asio::cancellation_signal>();
};

WalKeeper::WalKeeper(Archive& archive, WalPusher& pusher, std::shared_ptr<Wake> done)
    : archive_(archive), pusher_(pusher), done_(std::move(done)) {}

WalKeeper::~WalKeeper() { cancel(); }

void WalKeeper::begin(std::string name, SegmentFile file) {
    push_ = std::make_unique<Push>(std::move(name), std::move(file));
    // Once the promise is kept, everything but what this holds itself may be gone.
    auto tell = [promise = std::move(push_->promise), done = done_](std::exception_ptr failure, WalPushed pushed) mutable {
        if (failure)
            promise.set_exception(failure);
        else
            promise.set_value(pushed);
        done->set();
    };
    asio::co_spawn(archive_.io, push_until_stored(archive_, pusher_, push_->name, push_->file),
                   asio::bind_cancellation_slot(push_->signal->slot(), std::move(tell)));
}

std::unique_ptr<WalKeeper::Push> WalKeeper::take() {
    asio::post(archive_.io, [signal = push_->signal] {}); // the completing task may still look at it, on its thread
    return std::move(push_);
}

std::optional<std::string> WalKeeper::collect() {
    if (!push_ || push_->result.wait_for(std::chrono::seconds(0)) != std::future_status::ready) return std::nullopt;
    const auto push = take();
    const auto pushed = push->result.get();
    if (pushed.already_there)
        archive_.log.info("{} is in the archive already, with the same content", push->name);
    else
        archive_.log.info("{} is stored: {} bytes, {} in the storage", push->name, pushed.plain_bytes, pushed.stored_bytes);
    return std::move(push->name);
}

void WalKeeper::cancel() {
    if (!push_) return;
    asio::post(archive_.io, [signal = push_->signal] { signal->emit(asio::cancellation_type::terminal); });
    push_->result.wait();
    take();
}

} // namespace walgd::archive
