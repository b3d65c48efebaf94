// swift-tools-version: 6.2
import PackageDescription

// -O3 also in a dependent's debug build: the kernels are unusable unoptimised.
let kernelSettings: [CSetting] = [.unsafeFlags(["-O3", "-fno-math-errno", "-fno-trapping-math"])]
let numerics = Target.Dependency.product(name: "RealModule", package: "swift-numerics")

let package = Package(
  name: "fewstep",
  platforms: [.macOS(.v15)],
  products: [
    .library(name: "Fewstep", targets: ["Fewstep"]),
    .library(name: "Tensors", targets: ["Tensors"]),
    .library(name: "Sampling", targets: ["Sampling"]),
    .library(name: "Quantization", targets: ["Quantization"]),
    .library(name: "DenseTensors", targets: ["DenseTensors"]),
    .library(name: "Checkpoints", targets: ["Checkpoints"]),
    .library(name: "Networks", targets: ["Networks"]),
    .library(name: "Pipelines", targets: ["Pipelines"]),
    .library(name: "Glyphs", targets: ["Glyphs"]),
    .executable(name: "fewstep", targets: ["FewstepCommand"]),
    .executable(name: "bench", targets: ["bench"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-numerics", from: "1.1.1"),
  ],
  targets: [
    .target(name: "Tensors", dependencies: [numerics]),
    .target(name: "Sampling", dependencies: ["Tensors", numerics]),
    .target(name: "Quantization", dependencies: ["Tensors", numerics]),

    .systemLibrary(
      name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"]), .brew(["openblas"])]),
    .systemLibrary(
      name: "CLAPACKE", pkgConfig: "lapacke", providers: [.apt(["liblapacke-dev"]), .brew(["lapack"])]),
    .systemLibrary(name: "CPNG", pkgConfig: "libpng", providers: [.apt(["libpng-dev"]), .brew(["libpng"])]),
    .target(name: "CKernels", cSettings: kernelSettings),

    .target(name: "DenseTensors", dependencies: ["Tensors", "CKernels", "COpenBLAS", "CLAPACKE"]),
    .target(name: "Checkpoints", dependencies: ["Quantization", "Tensors"]),
    .target(name: "Networks", dependencies: ["Checkpoints", "DenseTensors", "Quantization", "Tensors"]),
    .target(
      name: "Pipelines",
      dependencies: ["Checkpoints", "CPNG", "DenseTensors", "Networks", "Quantization", "Sampling", "Tensors"]),
    .target(
      name: "Glyphs", dependencies: ["Checkpoints"],
      resources: [.copy("Resources/glyphs"), .copy("Resources/glyphs-flow")]),
    .target(
      name: "Fewstep",
      dependencies: ["Checkpoints", "DenseTensors", "Networks", "Pipelines", "Quantization", "Sampling", "Tensors"]),

    .executableTarget(
      name: "FewstepCommand",
      dependencies: [
        "Fewstep", "Glyphs", .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
    .target(
      name: "GlyphEvaluation", dependencies: ["Fewstep"], path: "Benchmarks/GlyphEvaluation",
      resources: [.copy("Evaluator")]),
    .target(name: "BenchSupport", path: "Benchmarks/BenchSupport"),
    .executableTarget(
      name: "bench",
      dependencies: [
        "BenchSupport", "COpenBLAS", "Fewstep", "Glyphs", "GlyphEvaluation",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      path: "Benchmarks/bench"),

    .testTarget(name: "TensorsTests", dependencies: ["Tensors", numerics]),
    .testTarget(name: "SamplingTests", dependencies: ["Sampling", "Tensors", numerics]),
    .testTarget(name: "QuantizationTests", dependencies: ["Quantization", "Tensors"]),
    .testTarget(name: "DenseTensorsTests", dependencies: ["DenseTensors", "Tensors", "CKernels"]),
    .testTarget(name: "CheckpointsTests", dependencies: ["Checkpoints", "Quantization"]),
    .testTarget(name: "NetworksTests", dependencies: ["Networks", "DenseTensors", "Checkpoints"]),
    .testTarget(name: "PipelinesTests", dependencies: ["Pipelines", "Glyphs", "GlyphEvaluation", "Fewstep"]),
    .testTarget(name: "CommandTests", dependencies: ["FewstepCommand", "bench", "Fewstep"]),
  ],
  swiftLanguageModes: [.v6],
  cLanguageStandard: .gnu11
)
