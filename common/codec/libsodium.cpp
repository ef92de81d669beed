#include "common/base/error.hpp"
#include "common/codec/cipher.hpp"
#include "common/codec/libsodium_key.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <sodium.h>

// header 24 bytes | chunk | chunk | ... | last chunk
//   chunk: exactly 8192 bytes, tag MESSAGE, 17 bytes longer when encrypted
//   last:  0 to 8191 bytes, tag FINAL. WAL-G refuses FINAL on a full chunk, so a multiple of 8192 ends with an empty one.

namespace walgd::codec {

namespace {

constexpr std::size_t chunk_bytes = 8192;
constexpr std::size_t overhead = crypto_secretstream_xchacha20poly1305_ABYTES;
constexpr std::size_t sealed_bytes = chunk_bytes + overhead;
constexpr std::size_t header_bytes = crypto_secretstream_xchacha20poly1305_HEADERBYTES;
constexpr unsigned char tag_message = crypto_secretstream_xchacha20poly1305_TAG_MESSAGE;
constexpr unsigned char tag_final = crypto_secretstream_xchacha20poly1305_TAG_FINAL;
// Chunks handed on at once.
constexpr std::size_t batch = 16;

const unsigned char* octets(ByteView bytes) { return reinterpret_cast<const unsigned char*>(bytes.data()); }
unsigned char* octets(std::byte* bytes) { return reinterpret_cast<unsigned char*>(bytes); }

[[noreturn]] void refuse(std::string_view cause) {
    throw Error(
        ErrorKind::corrupt, fmt::format("cannot decrypt with libsodium: {}", cause),
        "was the object written with this key and WALG_LIBSODIUM_KEY_TRANSFORM? If so it is damaged: keep it and compare it with "
        "other copies");
}

/// Hands pieces of exactly `size` bytes to `take`, out of the caller's memory where possible; keeps the rest.
class Pieces {
public:
    explicit Pieces(std::size_t size) : size_(size), rest_(std::make_unique_for_overwrite<std::byte[]>(size)) {}
    template <class Take> void feed(ByteView bytes, Take take) {
        if (used_ > 0) {
            const auto count = std::min(size_ - used_, bytes.size());
            std::copy_n(bytes.begin(), count, rest_.get() + used_);
            used_ += count;
            bytes = bytes.subspan(count);
            if (used_ < size_) return;
            used_ = 0;
            take(ByteView(rest_.get(), size_));
        }
        for (; bytes.size() >= size_; bytes = bytes.subspan(size_)) take(bytes.first(size_));
        std::ranges::copy(bytes, rest_.get());
        used_ = bytes.size();
    }
    ByteView rest() const { return {rest_.get(), used_}; }

private:
    std::size_t size_;
    std::unique_ptr<std::byte[]> rest_;
    std::size_t used_ = 0;
};

class LibsodiumEncryptor final : public Sink {
public:
    LibsodiumEncryptor(Sink& next, const SodiumKey& key) : next_(next), out_(header_bytes + batch * sealed_bytes) {
        crypto_secretstream_xchacha20poly1305_init_push(&state_, octets(out_.data()), key.data());
        out_.commit(header_bytes);
    }
    ~LibsodiumEncryptor() override { sodium_memzero(&state_, sizeof state_); }
    void write(ByteView bytes) override {
        chunks_.feed(bytes, [this](ByteView chunk) { seal(chunk, tag_message); });
    }
    void finish() override {
        seal(chunks_.rest(), tag_final);
        flush();
        next_.finish();
    }

private:
    void seal(ByteView chunk, unsigned char tag) {
        if (out_.room().size() < sealed_bytes) flush();
        crypto_secretstream_xchacha20poly1305_push(&state_, octets(out_.room().data()), nullptr, octets(chunk), chunk.size(),
                                                   nullptr, 0, tag);
        out_.commit(chunk.size() + overhead);
    }
    void flush() {
        next_.write(out_.view());
        out_.clear();
    }

    Sink& next_;
    crypto_secretstream_xchacha20poly1305_state state_{};
    Pieces chunks_{chunk_bytes};
    Blob out_;
};

class LibsodiumDecryptor final : public Sink {
public:
    LibsodiumDecryptor(Sink& next, const SodiumKey& key) : next_(next), key_(key), out_(batch * chunk_bytes) {}
    ~LibsodiumDecryptor() override {
        sodium_memzero(&state_, sizeof state_);
        sodium_memzero(key_.data(), key_.size());
    }
    void write(ByteView bytes) override {
        bytes = bytes.subspan(take_header(bytes));
        chunks_.feed(bytes, [this](ByteView chunk) {
            if (open(chunk) != tag_message) refuse("a full chunk is marked as the last one");
        });
    }
    void finish() override {
        const auto last = chunks_.rest();
        if (header_used_ < header_bytes) refuse("the object is shorter than a header");
        if (last.empty()) refuse("it is cut between two chunks, the last one is missing");
        if (last.size() < overhead) refuse("it is cut within a chunk");
        if (open(last) != tag_final) refuse("a short chunk is not marked as the last one");
        flush();
        next_.finish();
    }

private:
    std::size_t take_header(ByteView bytes) {
        const auto count = std::min(header_bytes - header_used_, bytes.size());
        if (count == 0) return 0;
        std::copy_n(octets(bytes), count, header_.begin() + static_cast<std::ptrdiff_t>(header_used_));
        header_used_ += count;
        if (header_used_ == header_bytes &&
            crypto_secretstream_xchacha20poly1305_init_pull(&state_, header_.data(), key_.data()) != 0)
            refuse("the header is not one");
        return count;
    }
    unsigned char open(ByteView sealed) {
        if (out_.room().size() < chunk_bytes) flush();
        unsigned char tag = 0;
        unsigned long long size = 0;
        if (crypto_secretstream_xchacha20poly1305_pull(&state_, octets(out_.room().data()), &size, &tag, octets(sealed),
                                                       sealed.size(), nullptr, 0) != 0)
            refuse("a chunk does not verify (another key, cut, changed, or followed by other bytes)");
        out_.commit(size);
        return tag;
    }
    void flush() {
        if (!out_.empty()) next_.write(out_.view());
        out_.clear();
    }

    Sink& next_;
    SodiumKey key_;
    crypto_secretstream_xchacha20poly1305_state state_{};
    std::array<unsigned char, header_bytes> header_{};
    std::size_t header_used_ = 0;
    Pieces chunks_{sealed_bytes};
    Blob out_;
};

class Libsodium final : public Cipher {
public:
    explicit Libsodium(const SodiumKey& key) : key_(key) {}
    ~Libsodium() override { sodium_memzero(key_.data(), key_.size()); }
    std::string_view name() const override { return "libsodium"; }
    bool can_decrypt() const override { return true; }
    std::unique_ptr<Sink> encryptor(Sink& next) const override { return std::make_unique<LibsodiumEncryptor>(next, key_); }
    std::unique_ptr<Sink> decryptor(Sink& next) const override { return std::make_unique<LibsodiumDecryptor>(next, key_); }

private:
    SodiumKey key_;
};

} // namespace

std::unique_ptr<Cipher> make_libsodium_cipher(std::string_view key_text, KeyTransform transform, const std::string& source) {
    if (sodium_init() < 0) throw Error(ErrorKind::failed, "libsodium does not start: no source of random numbers");
    return std::make_unique<Libsodium>(sodium_key(key_text, transform, source));
}

} // namespace walgd::codec
