#pragma once
#include "common/base/bytes.hpp"

#include <memory>

struct evp_md_st;

namespace walgd {

/// One of OpenSSL's hashes, over what is given to update(). Error(failed) where OpenSSL does not have it.
class EvpHash {
public:
    explicit EvpHash(const evp_md_st* algorithm);
    ~EvpHash();
    EvpHash(const EvpHash&) = delete;
    void update(ByteView bytes);
    /// Once, at the end; `digest` has the algorithm's size.
    void finish(MutableBytes digest);

private:
    struct State;
    std::unique_ptr<State> state_;
};

} // namespace walgd
