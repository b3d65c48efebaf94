// What BLAS does not have, for activations in NHWC order and fp32.
//
// Every function has one portable version and faster ones chosen at run time by what the CPU can do. None allocates,
// none starts a thread: callers split the work and own the memory. Sums run in an order that depends on the length of
// the reduced dimension alone, so that a result never depends on how the rest was split.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// The instruction set in use: "avx512", "avx2" or "portable". The environment variable FEWSTEP_ISA can ask for a
// lower one than the CPU has.
const char *fs_isa_name(void);

// Makes the instruction set called `name` the one in use; false where the CPU lacks it or nobody knows the name.
bool fs_isa_select(const char *name);

// --- Threads (pool.c)

typedef struct fs_pool fs_pool;

// A pool of `threads` threads, the caller of fs_pool_run being one of them; NULL where they cannot be had.
fs_pool *fs_pool_create(int threads);

// Calls body(context, task) for every task below `tasks`, on all threads, and returns when all are done. A call from
// within a body, or while another thread's call is under way, runs its tasks one after another.
void fs_pool_run(fs_pool *pool, int64_t tasks, void (*body)(void *context, int64_t task), void *context);

// Keeps every fs_pool_run to its caller's thread, from when no job is under way until the thread that held the pool
// releases it.
void fs_pool_hold(fs_pool *pool);
void fs_pool_release(fs_pool *pool);

// --- Convolution and linear layers (gemm_body.h)

// Outputs per panel of packed weights.
enum { FS_PANEL = 32 };

// The number of floats that the packed weights of `outputs` x `inputs` take, inputs counting channels times taps.
int64_t fs_packed_count(int64_t outputs, int64_t inputs);

// Packs one panel of weights given as [outputs, channels, taps] (taps 1 for a linear layer).
void fs_pack_weights(
  float *packed, const float *weights, int64_t outputs, int64_t channels, int64_t taps, int64_t panel);

// output[row, n] = (sum over taps and channels of input x weight + bias[n] + image_bias[image, n] + residual[row, n])
// x scale. A linear layer is a 1x1 convolution of a picture one row high.
typedef struct {
  const float *input;       // [images, height, width, channels]; height and width before `upsampling`
  int64_t input_stride;     // floats from one input pixel to the next
  int64_t height, width, channels;
  int64_t upsampling;       // each input pixel is read as a square of this side, 1 or 2
  int64_t out_height, out_width;
  int64_t kernel_height, kernel_width, stride, pad_top, pad_left;
  const float *zeros;       // at least `channels` zeros, read outside the picture
  const float *weights;     // packed
  int64_t outputs;
  const float *bias;        // [outputs] or NULL
  const float *image_bias;  // [images, outputs] or NULL
  const float *residual;    // [rows, outputs] or NULL
  float scale;
  float *output;            // [rows, outputs], not aliasing `input`
} fs_convolution;

// Computes output rows (pixels of all images, counted through) row_begin ..< row_end of the weight panels
// panel_begin ..< panel_end.
void fs_convolve(
  const fs_convolution *op, int64_t row_begin, int64_t row_end, int64_t panel_begin, int64_t panel_end);

// --- Winograd's convolution (winograd_body.h)

// The number of floats that the transformed weights of a 3x3 convolution take.
int64_t fs_winograd_weight_count(int64_t outputs, int64_t channels);

// Transforms and packs weights given as [outputs, channels, 3, 3].
void fs_winograd_transform_weights(float *transformed, const float *weights, int64_t outputs, int64_t channels);

// The number of 4x4 output tiles of one image.
int64_t fs_winograd_tiles(const fs_convolution *op);

// The number of floats of scratch that `tiles` tiles take.
int64_t fs_winograd_scratch_count(const fs_convolution *op, int64_t tiles);

// Computes output tiles (of all images, counted through) begin ..< end of a 3x3 convolution of stride 1; `weights` of
// op are the transformed ones.
void fs_winograd(const fs_convolution *op, int64_t begin, int64_t end, float *scratch);

// --- Elementwise passes (elementwise_body.h)

typedef enum { FS_SILU, FS_GELU, FS_QUICK_GELU, FS_RELU, FS_MISH } fs_activation;

// output = activation(input), in place where they are the same. NaN stays NaN.
void fs_activate(float *output, const float *input, int64_t count, fs_activation activation);

// output[row, c] = input[row, c] x gelu(input[row, channels + c])
void fs_geglu(float *output, const float *input, int64_t rows, int64_t channels);

// output = (left + right) x scale
void fs_add(float *output, const float *left, const float *right, int64_t count, float scale);

// --- States of samplers (state_body.h)

// Standard normal noise: z = f(seed, image, stream, element), times a coefficient.
typedef struct {
  double coefficient;
  uint64_t seed;
  uint32_t image;
  uint32_t stream;
} fs_noise;

// output = sum of coefficients[i] x inputs[i] and of the noises, each element summed in double and rounded once; output
// may be one of the inputs. Noises alone have the same bits on every instruction set; products with inputs are fused
// where it can, and so terms that cancel may leave other last bits.
void fs_combine(
  float *output, const double *coefficients, const float *const *inputs, int64_t terms, const fs_noise *noises,
  int64_t noise_count, int64_t count);

// Sums in double, in an order that depends on the count and the instruction set alone: from set to set the last bits
// differ.
double fs_inner_product(const float *left, const float *right, int64_t count);
double fs_sum(const float *input, int64_t count);

// Limits to low ... high; what is not a number stays so.
void fs_clamp(float *values, int64_t count, float low, float high);

// Conversions, round to nearest even.
void fs_half_to_float(float *output, const uint16_t *input, int64_t count);
void fs_float_to_half(uint16_t *output, const float *input, int64_t count);

// --- Norms and softmax (norm_body.h)

// Adds each channel's sum and sum of squares over `rows` rows to sums[channels] and squares[channels].
void fs_channel_sums(double *sums, double *squares, const float *input, int64_t rows, int64_t channels);

// output[row, c] = input[row, c] x gain[c] + shift[c], then SiLU where asked for.
void fs_scale_shift(
  float *output, const float *input, const float *gain, const float *shift, int64_t rows, int64_t channels, bool silu);

// Each row normalised to mean 0 and variance 1, then x gain[c] + shift[c].
void fs_layer_norm(
  float *output, const float *input, const float *gain, const float *shift, int64_t rows, int64_t channels,
  float epsilon);

// Softmax of every row x scale, which is positive, in place; the columns from `columns` up to `stride` are left alone. A
// row that holds NaN or +infinity becomes NaN, all of it.
void fs_softmax(float *rows, int64_t count, int64_t columns, int64_t stride, float scale);

#ifdef __cplusplus
}
#endif
