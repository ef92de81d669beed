#pragma once
#include "common/storage/s3/http.hpp"
#include "tests/unit/async_support.hpp"

#include <fmt/format.h>

namespace walgd::test {

struct FakeAnswer {
    int status = 200; ///< 0: nobody answers
    std::string body;
    std::map<std::string, std::string> headers{};
    std::optional<std::uint64_t> length{}; ///< other than the body's, as with HEAD
    bool resent = false;
};

/// Answers requests from a function, and keeps what was asked.
class FakeTransport : public storage::Transport {
public:
    using Answers = std::function<FakeAnswer(const std::string& what)>;
    explicit FakeTransport(Answers answers) : answers_(std::move(answers)) {}
    std::vector<std::string> asked;

    awaitable<std::unique_ptr<storage::HttpAnswer>> open(storage::HttpServer server, storage::HttpRequest request) override {
        auto what = fmt::format("{} {}{} {}", request.method, server.authority(), request.target(), text_of(request.body));
        for (const auto& [name, value] : request.headers) what += fmt::format(" {}={}", name, value);
        asked.push_back(what);
        const auto said = answers_(what);
        if (said.status == 0) throw Error(ErrorKind::transient, "nobody answers");
        std::unique_ptr<storage::HttpAnswer> answer = std::make_unique<Answer>(said);
        co_return answer;
    }

private:
    struct Answer : storage::HttpAnswer {
        explicit Answer(const FakeAnswer& said) : text_(said.body) {
            head_.status = said.status;
            head_.headers = said.headers;
            head_.content_length = said.length.value_or(text_.size());
            head_.resent = said.resent;
        }
        const storage::HttpHead& head() const override { return head_; }
        awaitable<std::size_t> read(MutableBytes into) override {
            const auto count = std::min(into.size(), text_.size());
            std::copy_n(reinterpret_cast<const std::byte*>(text_.data()), count, into.data());
            text_.erase(0, count);
            co_return count;
        }
        storage::HttpHead head_;
        std::string text_;
    };
    Answers answers_;
};

} // namespace walgd::test
