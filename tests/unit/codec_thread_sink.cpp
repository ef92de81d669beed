#include "common/base/error.hpp"
#include "common/codec/thread_sink.hpp"
#include "tests/unit/codec_support.hpp"

#include <latch>
#include <stdexcept>

using namespace walgd;
using namespace walgd::codec;
using namespace walgd::codec::test;

namespace {

/// Throws when more than `most` bytes have come.
class Limited : public Sink {
public:
    explicit Limited(std::size_t most) : most_(most) {}
    void write(ByteView bytes) override {
        count_ += bytes.size();
        if (count_ > most_) throw std::runtime_error("full");
    }
    void finish() override { throw std::runtime_error("full at the end"); }

private:
    std::size_t most_, count_ = 0;
};

/// Waits in its first write until it is told to go on.
class Waiting : public Sink {
public:
    void write(ByteView) override {
        entered.count_down();
        go_on.wait();
        ++writes;
    }
    void finish() override { finished = true; }
    std::latch entered{1}, go_on{1};
    int writes = 0;
    bool finished = false;
};

} // namespace

TEST_CASE("What goes through a thread of its own comes out as it went in, whatever the cuts", "[codec]") {
    const auto text = sample(5 << 20);
    for (const std::size_t piece : {std::size_t{1000}, std::size_t{256 << 10}, std::size_t{300'000}, text.size()}) {
        BlobSink end;
        ThreadSink sink(end);
        for (std::size_t at = 0; at < text.size(); at += piece) sink.write(bytes_of(text.substr(at, piece)));
        sink.finish();
        CHECK(text_of(end.take().view()) == text);
    }
    BlobSink end;
    ThreadSink nothing(end);
    nothing.finish();
    CHECK(end.take().size() == 0);
}

TEST_CASE("What a stage behind the thread throws reaches who writes, and who finishes", "[codec]") {
    const std::string piece(100'000, 'x');
    Limited full(1 << 20);
    ThreadSink sink(full);
    CHECK_THROWS_WITH(
        [&] {
            for (int count = 0; count < 1000; ++count) sink.write(bytes_of(piece));
        }(),
        "full");
    Limited roomy(1 << 20);
    ThreadSink at_end(roomy);
    at_end.write(bytes_of(piece));
    CHECK_THROWS_WITH(at_end.finish(), "full at the end");
}

TEST_CASE("A thread's stage that is destroyed before its end waits for what runs and passes no more on", "[codec]") {
    Waiting behind;
    {
        ThreadSink sink(behind);
        sink.write(bytes_of(std::string(700'000, 'x')));
        behind.entered.wait();
        behind.go_on.count_down();
    }
    CHECK(behind.writes >= 1);
    CHECK_FALSE(behind.finished);
}
