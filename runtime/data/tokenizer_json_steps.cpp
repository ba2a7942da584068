#include <functional>

#include <fmt/format.h>

#include "runtime/data/tokenizer_json.h"

namespace tutti {
namespace {

constexpr int kDeepest = 8;  // sequences within sequences
constexpr std::size_t kGrowth =
    64;  // times that Replace may make a text longer: a file must not eat the memory

// Calls `read(step)` for each step of what may be a sequence, whose members are called `name`.
void each_step(const JsonNode& node, const std::string& name,
               const std::function<void(const JsonNode&)>& read, int depth = 0) {
  if (node.at("type").text() != "Sequence") return read(node);
  if (depth == kDeepest) node.refuse(fmt::format("a sequence in more than {} others", kDeepest));
  for (const JsonNode& step : node.at(name).items()) each_step(step, name, read, depth + 1);
}

// {"String": text}: what Replace looks for.
std::string read_literal(const JsonNode& step) {
  const JsonNode pattern = step.at("pattern");
  if (!pattern.has("String")) pattern.refuse("replacing by a regular expression");
  const std::string text = pattern.at("String").text();
  if (text.empty()) pattern.fail("there is nothing to replace");
  return text;
}

NormalizerStep read_bert(const JsonNode& step) {
  NormalizerStep result{.kind = NormalizerStep::Kind::bert};
  result.clean_text = step.boolean_or("clean_text", true);
  result.ideographs = step.boolean_or("handle_chinese_chars", true);
  result.lower = step.boolean_or("lowercase", true);
  result.accents = step.boolean_or("strip_accents", result.lower);
  return result;
}

NormalizerStep read_normalizer_step(const JsonNode& step) {
  using Kind = NormalizerStep::Kind;
  const std::string& type = step.at("type").text();
  if (type == "BertNormalizer") return read_bert(step);
  if (type == "NFC") return {.kind = Kind::nfc};
  if (type == "NFD") return {.kind = Kind::nfd};
  if (type == "NFKC") return {.kind = Kind::nfkc};
  if (type == "NFKD") return {.kind = Kind::nfkd};
  if (type == "Lowercase") return {.kind = Kind::lowercase};
  if (type == "StripAccents") return {.kind = Kind::strip_accents};
  if (type == "Strip")
    return {.kind = Kind::strip,
            .left = step.at("strip_left").boolean(),
            .right = step.at("strip_right").boolean()};
  if (type == "Prepend") return {.kind = Kind::prepend, .text = step.at("prepend").text()};
  if (type == "Replace")
    return {.kind = Kind::replace,
            .text = read_literal(step),
            .replacement = step.at("content").text()};
  step.refuse("the normalizer " + type);
}

WordSplit read_split(const JsonNode& step) {
  if (step.at("behavior").text() != "Isolated")
    step.at("behavior").refuse("Split with another behavior than Isolated");
  if (step.boolean_or("invert", false)) step.at("invert").refuse("Split with invert");
  const JsonNode pattern = step.at("pattern");
  if (!pattern.has("Regex")) pattern.refuse("Split at a string");
  const std::string& expression = pattern.at("Regex").text();
  const auto split = find_pattern(expression);
  if (!split) pattern.refuse("Split by the regular expression " + expression);
  return *split;
}

// The step must come first: what it puts in front is for the whole text, not for words.
void read_metaspace(const JsonNode& step, WordSplitting& result) {
  if (!result.splits.empty() || result.byte_level)
    step.refuse("Metaspace behind another pre-tokenizer");
  if (step.at("replacement").text() != "\xE2\x96\x81")
    step.at("replacement").refuse("another replacement than U+2581");
  const std::string scheme = step.text_or(
      "prepend_scheme", step.boolean_or("add_prefix_space", true) ? "always" : "never");
  using When = PrefixStep::When;
  if (scheme != "always" && scheme != "first" && scheme != "never")
    step.fail("the prepend_scheme " + scheme + " is unknown");
  result.prefix = {scheme == "always"  ? When::always
                   : scheme == "first" ? When::first
                                       : When::never,
                   step.at("replacement").text()};
  if (step.boolean_or("split", true)) result.splits.push_back(WordSplit::before_mark);
}

void read_byte_level(const JsonNode& step, WordSplitting& result) {
  if (step.boolean_or("add_prefix_space", true)) {
    if (!result.splits.empty())
      step.refuse("ByteLevel with add_prefix_space behind another pre-tokenizer");
    result.prefix.when = PrefixStep::When::always;
  }
  if (step.boolean_or("use_regex", true)) result.splits.push_back(WordSplit::gpt2);
  result.byte_level = true;
}

void read_pre_tokenizer_step(const JsonNode& step, WordSplitting& result) {
  const std::string& type = step.at("type").text();
  if (result.byte_level || !result.prefix.mark.empty())
    step.refuse("a pre-tokenizer behind ByteLevel or Metaspace");
  if (type == "ByteLevel") return read_byte_level(step, result);
  if (type == "Metaspace") return read_metaspace(step, result);
  if (type == "Split") return result.splits.push_back(read_split(step));
  if (type == "BertPreTokenizer") return result.splits.push_back(WordSplit::bert);
  if (type == "Whitespace") return result.splits.push_back(WordSplit::words);
  if (type == "WhitespaceSplit") return result.splits.push_back(WordSplit::white_space);
  if (type == "Digits")
    return result.splits.push_back(
        step.boolean_or("individual_digits", false) ? WordSplit::digits : WordSplit::digit_runs);
  if (type != "Punctuation") step.refuse("the pre-tokenizer " + type);
  if (step.text_or("behavior", "Isolated") != "Isolated")
    step.at("behavior").refuse("Punctuation with another behavior than Isolated");
  result.splits.push_back(WordSplit::punctuation);
}

DecoderStep read_shortening(const JsonNode& step) {
  DecoderStep result{.kind = DecoderStep::Kind::replace};
  result.text = read_literal(step);
  result.replacement = step.at("content").text();
  if (result.replacement.size() > result.text.size())
    step.refuse("the decoder Replace with a longer text");
  return result;
}

DecoderStep read_decoder_step(const JsonNode& step) {
  using Kind = DecoderStep::Kind;
  const std::string& type = step.at("type").text();
  if (type == "ByteLevel") return {.kind = Kind::byte_level};
  if (type == "ByteFallback") return {.kind = Kind::byte_fallback};
  if (type == "Fuse") return {.kind = Kind::fuse};
  if (type == "Replace") return read_shortening(step);
  if (type == "WordPiece")
    return {.kind = Kind::word_piece,
            .text = step.text_or("prefix", "##"),
            .cleanup = step.boolean_or("cleanup", true)};
  if (type == "Strip") {
    if (step.at("content").text().empty()) step.fail("there is nothing to strip");
    return {.kind = Kind::strip,
            .text = step.at("content").text(),
            .start = std::size_t(step.at("start").integer()),
            .stop = std::size_t(step.at("stop").integer())};
  }
  if (type != "Metaspace") step.refuse("the decoder " + type);
  const std::string scheme = step.text_or(
      "prepend_scheme", step.boolean_or("add_prefix_space", true) ? "always" : "never");
  return {.kind = Kind::metaspace,
          .text = step.at("replacement").text(),
          .drop_first = scheme != "never"};
}

std::int32_t known_id(const JsonNode& node, std::int64_t id, const Vocabulary& vocabulary) {
  if (id >= vocabulary.size()) node.fail(fmt::format("the vocabulary has no id {}", id));
  return std::int32_t(id);
}

// ["[CLS]", 101]
std::int32_t read_pair_id(const JsonNode& node, const Vocabulary& vocabulary) {
  const std::vector<JsonNode> pair = node.items();
  if (pair.size() != 2) node.fail("expected a token and its id");
  return known_id(pair[1], pair[1].integer(), vocabulary);
}

// The template of a single text: special tokens around one sequence.
TokenFrame read_template(const JsonNode& step, const Vocabulary& vocabulary) {
  TokenFrame frame;
  int sequences = 0;
  for (const JsonNode& item : step.at("single").items()) {
    if (item.has("Sequence")) {
      ++sequences;
      continue;
    }
    const std::string& name = item.at("SpecialToken").at("id").text();
    for (const JsonNode& id : step.at("special_tokens").at(name).at("ids").items())
      (sequences == 0 ? frame.front : frame.back).push_back(known_id(id, id.integer(), vocabulary));
  }
  if (sequences != 1) step.at("single").refuse("a template that does not hold its text once");
  return frame;
}

void read_post_processor_step(const JsonNode& step, const Vocabulary& vocabulary,
                              TokenFrame& frame) {
  const std::string& type = step.at("type").text();
  if (type == "ByteLevel") return;  // it only moves offsets
  TokenFrame outer;
  if (type == "TemplateProcessing")
    outer = read_template(step, vocabulary);
  else if (type == "BertProcessing" || type == "RobertaProcessing")
    outer = {{read_pair_id(step.at("cls"), vocabulary)},
             {read_pair_id(step.at("sep"), vocabulary)}};
  else
    step.refuse("the post-processor " + type);
  frame.front.insert(frame.front.begin(), outer.front.begin(), outer.front.end());
  frame.back.insert(frame.back.end(), outer.back.begin(), outer.back.end());
}

}  // namespace

std::vector<NormalizerStep> read_normalizer(const JsonNode& root) {
  std::vector<NormalizerStep> steps;
  std::size_t growth = 1;
  const auto read = [&](const JsonNode& step) {
    steps.push_back(read_normalizer_step(step));
    if (steps.back().kind != NormalizerStep::Kind::replace) return;
    const std::size_t from = steps.back().text.size(), to = steps.back().replacement.size();
    growth *= std::max<std::size_t>(1, (to + from - 1) / from);
    if (growth > kGrowth) step.refuse("a normalizer that makes text much longer");
  };
  if (root.has("normalizer")) each_step(root.at("normalizer"), "normalizers", read);
  return steps;
}

WordSplitting read_pre_tokenizer(const JsonNode& root) {
  WordSplitting result;
  if (root.has("pre_tokenizer"))
    each_step(root.at("pre_tokenizer"), "pretokenizers",
              [&](const JsonNode& step) { read_pre_tokenizer_step(step, result); });
  return result;
}

std::vector<DecoderStep> read_decoder(const JsonNode& root) {
  std::vector<DecoderStep> steps;
  if (root.has("decoder"))
    each_step(root.at("decoder"), "decoders",
              [&](const JsonNode& step) { steps.push_back(read_decoder_step(step)); });
  return steps;
}

TokenFrame read_post_processor(const JsonNode& root, const Vocabulary& vocabulary) {
  TokenFrame frame;
  if (root.has("post_processor"))
    each_step(root.at("post_processor"), "processors",
              [&](const JsonNode& step) { read_post_processor_step(step, vocabulary, frame); });
  return frame;
}

}  // namespace tutti
