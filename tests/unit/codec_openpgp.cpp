#include "common/codec/cipher.hpp"
#include "common/codec/compression.hpp"
#include "common/codec/openpgp_packets.hpp"
#include "tests/unit/codec_support.hpp"
#include "tests/unit/rounds.hpp"

#include <cstdlib>
#include <thread>
#include <unistd.h>

using namespace walgd;
using namespace walgd::codec;
using namespace walgd::codec::test;

namespace {

std::unique_ptr<Cipher> pgp_cipher(const std::string& key = "plain.sec.asc", const std::string& passphrase = {}) {
    return make_openpgp_cipher(golden("pgp/keys/" + key), passphrase, "WALG_PGP_KEY_PATH=" + key);
}

MakeStage pgp_encryptor(const Cipher& with) {
    return [&with](Sink& next) { return with.encryptor(next); };
}

MakeStage pgp_decryptor(const Cipher& with) {
    return [&with](Sink& next) { return with.decryptor(next); };
}

std::string pgp_refusal(const std::string& key_text, const std::string& passphrase = {}) {
    try {
        make_openpgp_cipher(key_text, passphrase, "WALG_PGP_KEY");
    } catch (const Error& error) {
        CHECK(error.kind() == ErrorKind::misconfigured);
        return error.what();
    }
    return "accepted";
}

class FailingSink : public Sink {
public:
    void write(ByteView) override { throw Error(ErrorKind::failed, "disk full"); }
    void finish() override {}
};

} // namespace

TEST_CASE("what OpenPGP encrypts comes back, for any size and any cut", "[codec]") {
    const auto with = pgp_cipher();
    for (const std::size_t size : {0u, 1u, 511u, 512u, 8192u, 32768u, 100000u, 3u << 20}) {
        INFO(size);
        const auto text = sample(size);
        const auto object = through(pgp_encryptor(*with), text);
        CHECK(through(pgp_decryptor(*with), object) == text);
        CHECK(object.find("heap insert") == std::string::npos);
    }
    const auto text = sample(70000);
    for (unsigned seed = 0; seed < rounds(20); ++seed) {
        INFO("seed " << seed);
        CHECK(through_random_cuts(pgp_decryptor(*with), through_random_cuts(pgp_encryptor(*with), text, seed), seed + 500) ==
              text);
    }
}

TEST_CASE("OpenPGP objects that WAL-G wrote decrypt, for every kind of key", "[codec]") {
    struct Variant {
        std::string archive, expected, key, passphrase, method;
    };
    for (const auto& variant : {Variant{"archive", "wal", "plain.sec.asc", "", "lzma"},
                                Variant{"archive-passphrase", "wal-passphrase", "locked.sec.asc", "open sesame", "lz4"},
                                Variant{"archive-two", "wal-two", "two.sec.asc", "", "lz4"},
                                Variant{"archive-inline", "wal-inline", "plain.sec.asc", "", "none"}}) {
        const auto key = pgp_cipher(variant.key, variant.passphrase);
        const auto* method = compression_by_name(variant.method);
        const auto contents = golden_contents("pgp/expected/" + variant.expected + ".sha256");
        REQUIRE_FALSE(contents.empty());
        for (const auto& content : contents) {
            const auto path = "pgp/" + variant.archive + "/wal_005/" + content.name +
                              (method->suffix().empty() ? "" : "." + std::string(method->suffix()));
            INFO(path);
            const auto decompress = [method](Sink& next) { return method->decompressor(next); };
            CHECK(sha256_hex(through(pgp_decryptor(*key), decompress, golden(path))) == content.sha256);
        }
    }
}

TEST_CASE("a public key writes what each of its private keys reads, and reads nothing itself", "[codec]") {
    const auto text = sample(20000);
    for (const std::string name : {"plain", "two", "locked"}) {
        const auto writer = pgp_cipher(name + ".pub.asc");
        const auto reader = pgp_cipher(name + ".sec.asc", name == "locked" ? "open sesame" : "");
        CHECK(through(pgp_decryptor(*reader), through(pgp_encryptor(*writer), text)) == text);
        CHECK_FALSE(writer->can_decrypt());
        CHECK(reader->can_decrypt());
        TextSink out;
        CHECK_THROWS_WITH(writer->decryptor(out), Catch::Contains("public key") && Catch::Contains(name + ".pub.asc"));
    }
}

TEST_CASE("the keys that an OpenPGP object is for are known without a private key", "[codec]") {
    const auto plain = pgp_cipher("plain.pub.asc"), two = pgp_cipher("two.pub.asc");
    const auto object = through(pgp_encryptor(*plain), sample(100000)), for_two = through(pgp_encryptor(*two), sample(100000));
    CHECK(plain->same_keys(bytes_of(object)) == true);
    CHECK(pgp_cipher("plain.sec.asc")->same_keys(bytes_of(object)) == true);
    CHECK(two->same_keys(bytes_of(for_two)) == true);
    CHECK(plain->same_keys(bytes_of(for_two)) == false);
    CHECK(two->same_keys(bytes_of(object)) == false);
    for (const std::size_t cut : {0u, 1u, 8u, 100u}) CHECK(plain->same_keys(bytes_of(object).first(cut)) == false);
    CHECK(plain->same_keys(bytes_of(sample(1000))) == false);
    // Of an entity with several keys to encrypt to WAL-G may take another one than we do: then it is not the same.
    const auto of_walg = golden("pgp/archive-passphrase/wal_005/000000010000000000000008.lz4");
    CHECK(pgp_cipher("locked.sec.asc", "open sesame")->same_keys(bytes_of(of_walg)) == true);
    CHECK(plain->same_keys(bytes_of(of_walg)) == false);
}

TEST_CASE("gpg reads our OpenPGP objects byte for byte, line ends too", "[codec]") {
    if (std::system("command -v gpg >/dev/null 2>&1") != 0) {
        WARN("skipped: gpg is not installed");
        return;
    }
    std::string folder = "/tmp/walgd_codec_XXXXXX";
    REQUIRE(mkdtemp(folder.data()) != nullptr);
    const auto text = "one\r\ntwo\n" + sample(90000) + "\r\n";
    write_file_atomically(folder + "/key", bytes_of(golden("pgp/keys/plain.sec.asc")), 0600);
    write_file_atomically(folder + "/object", bytes_of(through(pgp_encryptor(*pgp_cipher()), text)), 0600);
    const std::string gpg = "gpg --homedir " + folder + " --batch --quiet ";
    CHECK(std::system((gpg + "--import " + folder + "/key 2>/dev/null").c_str()) == 0);
    CHECK(std::system((gpg + "--output " + folder + "/plain --decrypt " + folder + "/object 2>/dev/null").c_str()) == 0);
    CHECK(sha256_hex(read_text_file(folder + "/plain")) == sha256_hex(text));
    CHECK(std::system((gpg + "--list-packets " + folder + "/object >" + folder + "/packets 2>/dev/null").c_str()) == 0);
    const auto packets = read_text_file(folder + "/packets");
    CHECK(packets.find("mdc_method: 2") != std::string::npos);
    CHECK(packets.find("mode b") != std::string::npos);
    CHECK(packets.find("compressed packet") == std::string::npos);
    CHECK(packets.find("signature packet") == std::string::npos);
    CHECK(std::system(("GNUPGHOME=" + folder + " gpgconf --kill all 2>/dev/null; rm -rf " + folder).c_str()) == 0);
}

TEST_CASE("a private key that has expired reads what was written before, and writes nothing", "[codec]") {
    if (std::system("command -v gpg >/dev/null 2>&1") != 0) {
        WARN("skipped: gpg is not installed");
        return;
    }
    std::string folder = "/tmp/walgd_codec_XXXXXX";
    REQUIRE(mkdtemp(folder.data()) != nullptr);
    const auto text = sample(90000);
    write_file_atomically(folder + "/plain", bytes_of(text), 0600);
    const std::string gpg = "gpg --homedir " + folder + " --batch --quiet --pinentry-mode loopback --passphrase '' ";
    const std::string then = gpg + "--faked-system-time 20200101T000000 ";
    const std::string keys = gpg + "--armor --output " + folder;
    const std::string make = then + "--quick-gen-key old@example rsa2048 default 30d && fingerprint=$(" + gpg +
                             "--with-colons --list-keys | sed -n 's/^fpr:*\\([0-9A-F]*\\):$/\\1/p' | head -1) && " + then +
                             "--quick-add-key $fingerprint rsa2048 encr 30d && " + then + "--trust-model always --output " +
                             folder + "/object --recipient old@example --encrypt " + folder + "/plain && " + keys +
                             "/private --export-secret-keys && " + keys + "/public --export";
    REQUIRE(std::system(("(" + make + ") 2>/dev/null").c_str()) == 0);
    const auto old = make_openpgp_cipher(read_text_file(folder + "/private"), {}, "WALG_PGP_KEY");
    CHECK(through(pgp_decryptor(*old), read_text_file(folder + "/object")) == text);
    TextSink out;
    CHECK_THROWS_WITH(old->encryptor(out), Catch::Contains("cannot encrypt"));
    CHECK(pgp_refusal(read_text_file(folder + "/public")).find("cannot encrypt") != std::string::npos);
    CHECK(std::system(("GNUPGHOME=" + folder + " gpgconf --kill all 2>/dev/null; rm -rf " + folder).c_str()) == 0);
}

TEST_CASE("an OpenPGP key that cannot be used is refused when it is loaded", "[codec]") {
    const auto plain = golden("pgp/keys/plain.sec.asc"), locked = golden("pgp/keys/locked.sec.asc");
    CHECK(pgp_refusal(plain) == "accepted");
    CHECK(pgp_refusal(locked, "open sesame") == "accepted");
    CHECK(pgp_refusal(locked, "close sesame").find("does not unlock") != std::string::npos);
    CHECK(pgp_refusal(locked).find("none is set") != std::string::npos);
    for (const auto& text : {std::string(), std::string("no key"), plain.substr(0, plain.size() / 2)})
        CHECK(pgp_refusal(text).find("WALG_PGP_KEY") != std::string::npos);
    std::string one_line;
    for (const char c : plain) one_line += c == '\n' ? std::string("\\n") : std::string(1, c);
    CHECK(pgp_refusal(one_line) == "accepted");
    CHECK(pgp_refusal(one_line + "\n") == "accepted");
}

TEST_CASE("a cut, changed or lengthened OpenPGP object is corrupt", "[codec]") {
    const auto with = pgp_cipher();
    const auto text = sample(20000);
    const auto object = through(pgp_encryptor(*with), text);
    for (std::size_t size = 0; size < object.size(); size += size < 20 || size + 60 > object.size() ? 1 : 997) {
        INFO("cut to " << size);
        CHECK(is_corrupt(outcome(pgp_decryptor(*with), object.substr(0, size), text)));
    }
    for (std::size_t at = 0; at<object.size(); at += at + 60> object.size() ? 7 : 331) {
        auto changed = object;
        changed[at] = static_cast<char>(changed[at] ^ 1);
        const auto result = outcome(pgp_decryptor(*with), changed, text);
        INFO("changed at " << at << ": " << result);
        CHECK(is_corrupt(result));
    }
    for (const auto& more : {std::string("x"), object, std::string(100000, '\0')})
        CHECK(outcome(pgp_decryptor(*with), object + more, text).find("follow the message") != std::string::npos);
    CHECK(is_corrupt(outcome(pgp_decryptor(*with), object.substr(0, 9000) + object.substr(8000), text)));
}

TEST_CASE("an OpenPGP object of another key, without protection, or not encrypted is corrupt and says so", "[codec]") {
    const auto with = pgp_cipher(), other = pgp_cipher("locked.sec.asc", "open sesame");
    const auto text = sample(20000);
    CHECK(outcome(pgp_decryptor(*other), through(pgp_encryptor(*with), text), text).find("other keys") != std::string::npos);
    CHECK(outcome(pgp_decryptor(*with), text, text).find("not an OpenPGP message") != std::string::npos);
    CHECK(outcome(pgp_decryptor(*with), hex("d2") + text, text).starts_with("corrupt"));
    CHECK(outcome(pgp_decryptor(*with), hex("c90100"), "").find("integrity protection") != std::string::npos);
    CHECK(outcome(pgp_decryptor(*with), hex("cb0a620000000000") + "hello", "hello").find("not an encrypted message") !=
          std::string::npos);
}

TEST_CASE("failures of the next stage come out of an OpenPGP stage, and unfinished stages end", "[codec]") {
    const auto with = pgp_cipher();
    const auto text = sample(1 << 20), object = through(pgp_encryptor(*with), text);
    FailingSink failing;
    CHECK_THROWS_WITH(
        [&] {
            const auto stage = with->encryptor(failing);
            stage->write(bytes_of(text));
            stage->finish();
        }(),
        "disk full");
    CHECK_THROWS_WITH(
        [&] {
            const auto stage = with->decryptor(failing);
            stage->write(bytes_of(object));
            stage->finish();
        }(),
        "disk full");
    TextSink out;
    {
        const auto unused = with->encryptor(out), half = with->decryptor(out);
        half->write(bytes_of(object).first(object.size() / 2));
    }
    CHECK(out.finished == 0);
    CHECK(through(pgp_decryptor(*with), object) == text);
}

TEST_CASE("an object that is encrypted to a public key is known by its first bytes", "[codec]") {
    using namespace std::string_view_literals;
    for (const auto begin : {"\x85\x01\x0c\x03"sv, "\x84\x5e\x03"sv, "\xc1\x5e\x03"sv, "\xc1\xc0\x4c\x03"sv})
        CHECK(looks_encrypted(bytes_of(begin)));
    for (const auto begin :
         {""sv, "\x85"sv, "\x84\x5e"sv, "\x28\xb5\x2f\xfd"sv, "\x04\x22\x4d\x18"sv, "\x5d\x00\x00\x00"sv, "\x10\xd1\x06\x00"sv})
        CHECK_FALSE(looks_encrypted(bytes_of(begin)));
}

TEST_CASE("an OpenPGP cipher serves several threads", "[codec]") {
    const auto with = pgp_cipher("two.sec.asc");
    const auto text = sample(200000);
    std::vector<std::string> results(4);
    std::vector<std::thread> threads;
    for (auto& result : results)
        threads.emplace_back([&] {
            for (int round = 0; round < 3; ++round)
                result = outcome(pgp_decryptor(*with), through_random_cuts(pgp_encryptor(*with), text, 5), text);
        });
    for (auto& thread : threads) thread.join();
    CHECK(results == std::vector<std::string>(4, "ok"));
}
