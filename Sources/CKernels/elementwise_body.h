// Passes that treat every element alike.

// Runs `body` on vectors `x` of input, the last one partly filled.
#define EACH_VECTOR(count, body_whole, body_part)                             \
  int64_t i = 0;                                                              \
  for (; i + LANES <= (count); i += LANES) { body_whole }                     \
  int64_t rest = (count) - i;                                                 \
  if (rest > 0) { body_part }

#define ACTIVATE(function)                                                    \
  EACH_VECTOR(                                                                \
    count, ISA(store)(output + i, function(ISA(load)(input + i)));,           \
    ISA(store_part)(output + i, function(ISA(load_part)(input + i, rest)), rest);)

INLINE vf ISA(quick_gelu)(vf x) { return ISA(swish)(x, 1.702f); }
INLINE vf ISA(relu)(vf x) { return ISA(max)((vf){0}, x); }

// x tanh(log(1 + e^x)) = x n / (n + 2) with n = e^x (e^x + 2); beyond 20 the quotient is 1 in float.
INLINE vf ISA(mish)(vf x) {
  vf e = ISA(exp)(ISA(min)(ISA(splat)(20.0f), x));
  vf n = e * (e + 2.0f);
  return x * (n / (n + 2.0f));
}

static void ISA(activate)(float *output, const float *input, int64_t count, fs_activation activation) {
  switch (activation) {
    case FS_SILU: { ACTIVATE(ISA(silu)) } break;
    case FS_GELU: { ACTIVATE(ISA(gelu)) } break;
    case FS_QUICK_GELU: { ACTIVATE(ISA(quick_gelu)) } break;
    case FS_RELU: { ACTIVATE(ISA(relu)) } break;
    case FS_MISH: { ACTIVATE(ISA(mish)) } break;
  }
}

static void ISA(geglu)(float *output, const float *input, int64_t rows, int64_t channels) {
  for (int64_t row = 0; row < rows; row++, input += 2 * channels, output += channels) {
    const float *gate = input + channels;
    EACH_VECTOR(
      channels, ISA(store)(output + i, ISA(load)(input + i) * ISA(gelu)(ISA(load)(gate + i)));,
      ISA(store_part)(
        output + i, ISA(load_part)(input + i, rest) * ISA(gelu)(ISA(load_part)(gate + i, rest)), rest);)
  }
}

static void ISA(add)(float *output, const float *left, const float *right, int64_t count, float scale) {
  EACH_VECTOR(
    count, ISA(store)(output + i, (ISA(load)(left + i) + ISA(load)(right + i)) * scale);,
    ISA(store_part)(output + i, (ISA(load_part)(left + i, rest) + ISA(load_part)(right + i, rest)) * scale, rest);)
}

static void ISA(half_to_float)(float *output, const uint16_t *input, int64_t count) {
  const _Float16 *halves = (const _Float16 *)input;
  for (int64_t i = 0; i < count; i++) output[i] = (float)halves[i];
}

static void ISA(float_to_half)(uint16_t *output, const float *input, int64_t count) {
  _Float16 *halves = (_Float16 *)output;
  for (int64_t i = 0; i < count; i++) halves[i] = (_Float16)input[i];
}
