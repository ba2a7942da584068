// A decoder's passes on a device, as Decoder (decoder.h) calls them: what it promises, it has
// checked. Spans of parameters and gradients are of the device's memory, all others of the host's.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/model/transformer.h"
#include "kernels/ops/cross_entropy.h"
#include "kernels/ops/dropout.h"

namespace tutti {

class DeviceDecoder {
 public:
  virtual ~DeviceDecoder() = default;

  virtual void recompute_activations(bool recompute) = 0;
  // The arena stays referenced until the next call.
  virtual void load(std::span<const float> parameters) = 0;
  virtual void losses(const TokenBatch& batch, std::span<const std::int32_t> targets,
                      const CrossEntropyOptions& options, std::span<float> losses) = 0;
  virtual void forward(const TokenBatch& batch, const Dropout& mask) = 0;
  virtual void backward(const TokenBatch& batch, std::span<const std::int32_t> targets,
                        const CrossEntropyOptions& options, std::span<float> losses,
                        std::span<float> gradients, const FinalGradients& on_final) = 0;
  virtual void logits(const TokenBatch& batch, std::span<float> logits) = 0;
};

}  // namespace tutti
