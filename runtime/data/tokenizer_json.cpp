#include "runtime/data/tokenizer_json.h"

#include <fmt/format.h>

#include "runtime/base/error.h"
#include "runtime/data/bpe_model.h"
#include "runtime/data/byte_level.h"
#include "runtime/data/wordpiece_model.h"

namespace tutti {
namespace {

using nlohmann::json;

constexpr std::string_view kMark = "\xE2\x96\x81";  // U+2581, for a space

// model.vocab, by id.
std::vector<std::string> read_pieces(const JsonNode& node) {
  if (!node.value().is_object()) node.refuse("a vocabulary that is no object of pieces and ids");
  std::vector<std::string> pieces(node.value().size());
  std::vector<bool> is_there(pieces.size());
  for (const auto& [piece, id] : node.value().items()) {
    const JsonNode entry(id, node.place() + "[" + json(piece).dump() + "]");
    const auto i = std::size_t(entry.integer());
    if (i >= pieces.size())
      entry.fail(fmt::format("the id {} is outside of 0 to {}: the vocabulary has holes", i,
                             pieces.size() - 1),
                 "give each piece one of the ids from 0 on");
    if (is_there[i])
      entry.fail(fmt::format("the id {} is there twice", i), "give each piece an id of its own");
    is_there[i] = true;
    pieces[i] = piece;
  }
  if (pieces.empty()) node.fail("the vocabulary is empty");
  return pieces;
}

AddedToken read_added(const JsonNode& node) {
  AddedToken token;
  token.id = std::int32_t(node.at("id").integer());
  token.content = node.at("content").text();
  token.special = node.boolean_or("special", false);
  token.normalized = node.boolean_or("normalized", !token.special);
  token.single_word = node.boolean_or("single_word", false);
  token.lstrip = node.boolean_or("lstrip", false);
  token.rstrip = node.boolean_or("rstrip", false);
  if (token.content.empty()) node.fail("an added token without content");
  return token;
}

std::int32_t read_unknown(const JsonNode& model, const Vocabulary& vocabulary) {
  if (!model.has("unk_token")) return -1;
  const JsonNode node = model.at("unk_token");
  const std::int32_t id = vocabulary.model_id_of(node.text());
  if (id < 0) node.fail("the vocabulary has no piece " + node.value().dump());
  return id;
}

// "a b" or ["a", "b"].
std::pair<std::string_view, std::string_view> read_pair(const JsonNode& merges, std::size_t i) {
  const json& entry = merges.value()[i];
  const auto node = [&] { return JsonNode(entry, fmt::format("{}[{}]", merges.place(), i)); };
  if (entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_string())
    return {entry[0].get_ref<const std::string&>(), entry[1].get_ref<const std::string&>()};
  if (!entry.is_string()) node().fail("expected two pieces");
  const std::string_view text = entry.get_ref<const std::string&>();
  const std::size_t space = text.find(' ');
  if (space == std::string_view::npos || text.find(' ', space + 1) != std::string_view::npos)
    node().fail("expected two pieces with a space between");
  return {text.substr(0, space), text.substr(space + 1)};
}

std::vector<BpeMerge> read_merges(const JsonNode& merges, const Vocabulary& vocabulary) {
  if (!merges.value().is_array()) merges.fail("expected an array");
  std::vector<BpeMerge> result;
  result.reserve(merges.value().size());
  for (std::size_t i = 0; i < merges.value().size(); ++i) {
    const auto [left, right] = read_pair(merges, i);
    const auto id = [&](const std::string& piece) {
      const std::int32_t found = vocabulary.model_id_of(piece);
      if (found < 0)
        JsonNode(merges.value()[i], fmt::format("{}[{}]", merges.place(), i))
            .fail("the vocabulary has no piece " + json(piece).dump(),
                  "give vocabulary and merges of one model");
      return found;
    };
    result.push_back(
        {id(std::string(left)), id(std::string(right)), id(std::string(left).append(right))});
  }
  return result;
}

// Whether no merge ever goes over the place before a mark, so that one may cut there.
bool marks_begin_pieces(const std::vector<BpeMerge>& merges, const Vocabulary& vocabulary) {
  if (vocabulary.model_id_of(kMark) < 0) return false;
  for (const BpeMerge& merge : merges) {
    const std::string& left = vocabulary.piece(merge.left);
    if (vocabulary.piece(merge.right).starts_with(kMark) && !left.ends_with(kMark)) return false;
  }
  return true;
}

void check_bytes(const JsonNode& model, const Vocabulary& vocabulary) {
  for (int b = 0; b < 256; ++b)
    if (const std::string piece = fmt::format("<0x{:02X}>", b); vocabulary.model_id_of(piece) < 0)
      model.at("byte_fallback")
          .fail("the vocabulary has no piece " + piece, "give one for each byte");
}

std::unique_ptr<WordModel> read_bpe(const JsonNode& model, const Vocabulary& vocabulary,
                                    WordSplitting& splitting) {
  if (model.has("dropout") && model.at("dropout").value() != 0)
    model.at("dropout").refuse("dropout");
  for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"})
    if (!model.text_or(affix, "").empty())
      model.at(affix).refuse(std::string("a BPE with ") + affix);
  BpeOptions options;
  options.byte_level = splitting.byte_level;
  options.ignore_merges = model.boolean_or("ignore_merges", false);
  options.byte_fallback = model.boolean_or("byte_fallback", false);
  options.fuse_unknown = model.boolean_or("fuse_unk", false);
  options.unknown = read_unknown(model, vocabulary);
  if (options.byte_fallback && options.byte_level)
    model.at("byte_fallback").refuse("byte_fallback with ByteLevel");
  if (options.byte_fallback) check_bytes(model, vocabulary);
  const std::vector<BpeMerge> merges = read_merges(model.at("merges"), vocabulary);
  if (splitting.splits.empty() && !options.byte_level && !options.ignore_merges &&
      marks_begin_pieces(merges, vocabulary))
    splitting.splits.push_back(WordSplit::before_mark_run);
  return std::make_unique<BpeModel>(vocabulary, merges, options);
}

std::unique_ptr<WordModel> read_word_piece(const JsonNode& model, const Vocabulary& vocabulary,
                                           bool byte_level) {
  if (byte_level) model.refuse("WordPiece with ByteLevel");
  WordPieceOptions options;
  options.unknown = read_unknown(model, vocabulary);
  if (options.unknown < 0) model.fail("\"unk_token\" is missing");
  options.prefix = model.text_or("continuing_subword_prefix", "##");
  if (model.has("max_input_chars_per_word"))
    options.longest = std::size_t(model.at("max_input_chars_per_word").integer());
  return std::make_unique<WordPieceModel>(vocabulary, options);
}

// Old files do not name the type: only BPE has merges.
std::string model_type(const JsonNode& model) {
  return model.has("type") ? model.at("type").text() : model.has("merges") ? "BPE" : "WordPiece";
}

// A normalizer may leave nothing of an added token, which could then be found anywhere.
void check_added(const JsonEncoderParts& parts, const JsonNode& root) {
  const TextNormalizer normalizer(parts.normalizer);
  NormalizerScratch scratch;
  for (const AddedToken& token : parts.added)
    if (token.normalized && normalizer.normalize({token.content}, false, scratch).text.empty())
      root.at("added_tokens")
          .fail("the normalizer leaves nothing of " + json(token.content).dump());
}

json parse(std::string_view text, const std::string& place) {
  try {
    return json::parse(text);
  } catch (const json::exception& e) {
    throw Error(ExitCode::data, std::string("not a tokenizer.json: ") + e.what(), place,
                "give one that Hugging Face's tokenizers wrote");
  }
}

}  // namespace

std::unique_ptr<Vocabulary> read_vocabulary(const JsonNode& root, std::vector<AddedToken>& added) {
  const JsonNode model = root.at("model");
  if (const std::string type = model_type(model); type != "BPE" && type != "WordPiece")
    model.refuse("the model " + type);
  std::vector<std::string> pieces = read_pieces(model.at("vocab"));
  const auto count = std::int32_t(pieces.size());
  std::unordered_map<std::string, std::int32_t> ids;
  for (std::int32_t id = 0; id < count; ++id) ids.emplace(pieces[std::size_t(id)], id);
  if (!root.has("added_tokens")) return std::make_unique<Vocabulary>(std::move(pieces), count);
  for (const JsonNode& node : root.at("added_tokens").items()) {
    added.push_back(read_added(node));
    const AddedToken& token = added.back();
    const auto [it, is_new] = ids.try_emplace(token.content, std::int32_t(pieces.size()));
    if (it->second != token.id)
      node.fail(fmt::format("the token has the id {}, but {} is expected", token.id, it->second),
                is_new ? "number added tokens in their order, from the end of the vocabulary on"
                       : "give it the id of its piece in the vocabulary");
    if (is_new) pieces.push_back(token.content);
    for (std::size_t i = 0; i + 1 < added.size(); ++i)
      if (added[i].id == token.id) node.fail(fmt::format("the id {} is there twice", token.id));
  }
  return std::make_unique<Vocabulary>(std::move(pieces), count);
}

std::unique_ptr<WordModel> read_model(const JsonNode& root, const Vocabulary& vocabulary,
                                      WordSplitting& splitting) {
  const JsonNode model = root.at("model");
  return model_type(model) == "BPE" ? read_bpe(model, vocabulary, splitting)
                                    : read_word_piece(model, vocabulary, splitting.byte_level);
}

std::unique_ptr<TextEncoder> make_json_encoder(std::string_view text, const std::string& place) {
  const json file = parse(text, place);
  const JsonNode root(file, place + ": ");
  JsonEncoderParts parts;
  parts.vocabulary = read_vocabulary(root, parts.added);
  parts.normalizer = read_normalizer(root);
  WordSplitting splitting = read_pre_tokenizer(root);
  parts.words = read_model(root, *parts.vocabulary, splitting);
  parts.prefix = splitting.prefix;
  parts.splits = splitting.splits;
  parts.frame = read_post_processor(root, *parts.vocabulary);
  parts.decoder = read_decoder(root);
  check_added(parts, root);
  return std::make_unique<JsonEncoder>(std::move(parts));
}

}  // namespace tutti
