#pragma once
#include "common/base/error.hpp"
#include "common/base/histogram.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace walgd::storage {

/// Requests to a storage by verb ("put", "get", "head", "list", "start upload" ...), each attempt counted. On the I/O thread.
class RequestMeter {
public:
    struct Verb {
        std::uint64_t requests = 0;
        LatencyHistogram latency; ///< of what was answered; a get's is up to its first byte, and "read" has the rest of it
        std::map<ErrorKind, std::uint64_t> failures;
    };
    void asked(std::string_view verb) { ++place(verb).requests; }
    void answered(std::string_view verb, std::chrono::steady_clock::duration took) { place(verb).latency.add(took); }
    void failed(std::string_view verb, ErrorKind kind) { ++place(verb).failures[kind]; }

    const std::map<std::string, Verb, std::less<>>& verbs() const { return verbs_; }

private:
    Verb& place(std::string_view verb) {
        const auto found = verbs_.find(verb);
        return found != verbs_.end() ? found->second : verbs_[std::string(verb)];
    }

    std::map<std::string, Verb, std::less<>> verbs_;
};

} // namespace walgd::storage
