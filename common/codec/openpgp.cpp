#include "common/base/error.hpp"
#include "common/codec/cipher.hpp"
#include "common/codec/openpgp_keyring.hpp"
#include "common/codec/openpgp_packets.hpp"
#include "common/codec/pull_thread.hpp"

#include <fmt/format.h>
#include <utility>

namespace walgd::codec {

namespace {

/// Binary, one session key packet an entity, integrity protection (SEIPD version 1), no compression, no signature. WAL-G marks
/// the literal inside as text, which makes gpg change line ends; ours is binary, and WAL-G does not mind.
constexpr const char* symmetric_cipher = "AES128";

using EncryptOp = std::unique_ptr<rnp_op_encrypt_st, RnpFree<&RnpLibrary::op_encrypt_destroy>>;
using VerifyOp = std::unique_ptr<rnp_op_verify_st, RnpFree<&RnpLibrary::op_verify_destroy>>;

/// The library's streams around a stage. Exceptions cannot pass through the library: they are kept, and thrown behind it.
class Pipes {
public:
    Pipes(PullThread& source, Sink& next) : source_(source), next_(next) {
        rnp_input_t input = nullptr;
        require_rnp(rnp().input_from_callback(&input, &Pipes::read, nullptr, this), "read");
        input_.reset(input);
        rnp_output_t output = nullptr;
        require_rnp(rnp().output_to_callback(&output, &Pipes::write, nullptr, this), "write");
        output_.reset(output);
    }
    Pipes(const Pipes&) = delete;
    rnp_input_t input() const { return input_.get(); }
    rnp_output_t output() const { return output_.get(); }
    /// Throws what went wrong on either side of the library.
    void rethrow() const {
        if (failure_) std::rethrow_exception(failure_);
    }

private:
    template <class Action> bool guarded(Action action) {
        try {
            if (!failure_) action();
        } catch (...) {
            failure_ = std::current_exception();
        }
        return !failure_;
    }
    static bool read(void* self, void* buffer, std::size_t size, std::size_t* count) {
        auto& pipes = *static_cast<Pipes*>(self);
        return pipes.guarded([&] { *count = pipes.source_.pull(MutableBytes(static_cast<std::byte*>(buffer), size)); });
    }
    static bool write(void* self, const void* buffer, std::size_t size) {
        auto& pipes = *static_cast<Pipes*>(self);
        return pipes.guarded([&] { pipes.next_.write(ByteView(static_cast<const std::byte*>(buffer), size)); });
    }

    PullThread& source_;
    Sink& next_;
    std::exception_ptr failure_;
    RnpInput input_;
    RnpOutput output_; // closed first: that may still write
};

void encrypt(const OpenpgpKeys& keys, PullThread& source, Sink& next) {
    Pipes pipes(source, next);
    rnp_op_encrypt_t raw = nullptr;
    require_rnp(rnp().op_encrypt_create(&raw, keys.ffi(), pipes.input(), pipes.output()), "encrypt");
    const EncryptOp op(raw);
    for (const auto& recipient : keys.recipients())
        require_rnp(rnp().op_encrypt_add_recipient(raw, recipient.get()), "encrypt for a key");
    require_rnp(rnp().op_encrypt_set_armor(raw, false), "encrypt");
    require_rnp(rnp().op_encrypt_set_cipher(raw, symmetric_cipher), "encrypt");
    require_rnp(rnp().op_encrypt_set_aead(raw, "None"), "encrypt");
    require_rnp(rnp().op_encrypt_set_compression(raw, "Uncompressed", 0), "encrypt");
    require_rnp(rnp().op_encrypt_set_file_name(raw, ""), "encrypt");
    require_rnp(rnp().op_encrypt_set_file_mtime(raw, 0), "encrypt");
    const auto result = rnp().op_encrypt_execute(raw);
    pipes.rethrow();
    require_rnp(result, "encrypt");
}

std::string_view cause_of(rnp_result_t result) {
    switch (result) {
    case RNP_ERROR_NO_SUITABLE_KEY:
    case RNP_ERROR_KEY_NOT_FOUND:
        return "it is encrypted for other keys";
    case RNP_ERROR_BAD_PASSWORD:
        return "it is encrypted for a passphrase, or for a key that is locked";
    default:
        return "it is damaged, or of another key";
    }
}

void decrypt(const OpenpgpKeys& keys, PullThread& source, Sink& next) {
    Pipes pipes(source, next);
    rnp_op_verify_t raw = nullptr;
    require_rnp(rnp().op_verify_create(&raw, keys.ffi(), pipes.input(), pipes.output()), "decrypt");
    const VerifyOp op(raw);
    require_rnp(rnp().op_verify_set_flags(raw, RNP_VERIFY_IGNORE_SIGS_ON_DECRYPT), "decrypt");
    const auto result = rnp().op_verify_execute(raw);
    pipes.rethrow();
    if (result == RNP_ERROR_OUT_OF_MEMORY) require_rnp(result, "decrypt");
    if (result != RNP_SUCCESS) refuse_message(fmt::format("{} ({})", cause_of(result), rnp().result_to_string(result)));
    bool valid = false;
    require_rnp(rnp().op_verify_get_protection_info(raw, nullptr, nullptr, &valid), "decrypt");
    if (!valid) refuse_message("its integrity protection does not hold");
}

/// What both directions share: the library in its thread, and the keys it borrows.
class Stage : public Sink {
public:
    using Work = void (*)(const OpenpgpKeys&, PullThread&, Sink&);
    Stage(std::shared_ptr<OpenpgpKeyring> keyring, Sink& next, Work work)
        : next_(next), keyring_(std::move(keyring)), keys_(keyring_->take()) {
        if (work == &encrypt) keys_->check_encrypts(keyring_->source());
        thread_.start([this, work](PullThread& source) { work(*keys_, source, next_); });
    }
    void finish() override {
        thread_.finish();
        keyring_->give_back(std::move(keys_));
        next_.finish();
    }

protected:
    Sink& next_;
    std::shared_ptr<OpenpgpKeyring> keyring_;
    std::unique_ptr<OpenpgpKeys> keys_;
    PullThread thread_; // ends first: it uses the others
};

class OpenpgpEncryptor final : public Stage {
public:
    OpenpgpEncryptor(std::shared_ptr<OpenpgpKeyring> keyring, Sink& next) : Stage(std::move(keyring), next, &encrypt) {}
    void write(ByteView bytes) override {
        if (!thread_.push(bytes))
            throw Error(ErrorKind::failed, "cannot encrypt with OpenPGP: the library stopped before the end");
    }
};

class OpenpgpDecryptor final : public Stage {
public:
    OpenpgpDecryptor(std::shared_ptr<OpenpgpKeyring> keyring, Sink& next) : Stage(std::move(keyring), next, &decrypt) {}
    void write(ByteView bytes) override {
        packets_.feed(bytes);
        if (!thread_.push(bytes)) refuse_message("other bytes follow the message");
    }
    void finish() override {
        packets_.finish();
        Stage::finish();
    }

private:
    OpenpgpPackets packets_;
};

class Openpgp final : public Cipher {
public:
    Openpgp(std::string armored, std::string passphrase, std::string source)
        : keyring_(std::make_shared<OpenpgpKeyring>(std::move(armored), std::move(passphrase), std::move(source))) {}
    std::string_view name() const override { return "openpgp"; }
    bool can_decrypt() const override { return keyring_->have_secret(); }
    std::optional<bool> same_keys(ByteView begin) const override {
        auto keys = keyring_->take();
        const auto own = keys->recipient_ids();
        keyring_->give_back(std::move(keys));
        return !own.empty() && own == keys_encrypted_to(begin);
    }
    std::unique_ptr<Sink> encryptor(Sink& next) const override { return std::make_unique<OpenpgpEncryptor>(keyring_, next); }
    std::unique_ptr<Sink> decryptor(Sink& next) const override {
        if (!can_decrypt())
            throw Error(ErrorKind::misconfigured,
                        fmt::format("the OpenPGP key of {} is a public key, it cannot decrypt", keyring_->source()),
                        "give the private key where backups and WAL are fetched");
        return std::make_unique<OpenpgpDecryptor>(keyring_, next);
    }

private:
    std::shared_ptr<OpenpgpKeyring> keyring_;
};

} // namespace

std::unique_ptr<Cipher> make_openpgp_cipher(std::string_view armored_key, const std::string& passphrase,
                                            const std::string& source) {
    return std::make_unique<Openpgp>(std::string(armored_key), passphrase, source);
}

} // namespace walgd::codec
