import CKernels
import DenseTensors
import Testing

/// Floats multiplied in pieces of eight bits, with AMX, lose less than by fused multiply-adds one after another; as much
/// within a fifth where one product is nearly the whole sum.
extension KernelTests {
  /// Numbers of one kind from numbers in -1 ... 1.
  enum Numbers: CaseIterable {
    case evenly, positive, ofAllSizes, halves

    func of(_ x: Float) -> Float {
      switch self {
      case .evenly: x
      case .positive: abs(x)
      // 2^-20 to 2^20, of both signs.
      case .ofAllSizes: Float(sign: x < 0 ? .minus : .plus, exponent: Int(40 * abs(x)) - 20, significand: 1 + abs(x))
      case .halves: Float(Float16(x))
      }
    }
  }

  @Test(arguments: [320, 331, 672, 1300], Numbers.allCases)
  func piecesLoseLessThanFloats(_ channels: Int, _ numbers: Numbers) {
    guard instructionSets.contains("amx") else { return }
    let problem = ConvolutionProblem(
      images: 1, height: 1, width: 40, channels: channels, outputs: 64, kernel: (1, 1), padding: .init(0), addends: [],
      scale: 1)
    var data = problem.makeData().with(weights: problem.makeData().weights.map(numbers.of))
    data.input = data.input.map(numbers.of)
    let reference = problem.reference(data).map(\.sum)
    func error(_ set: String) -> Double {
      withInstructionSet(set) { meanSquareError(of: problem.result(data, .direct), reference).squareRoot() }
    }
    let (pieces, floats) = (error("amx"), error("avx512"))
    #expect(pieces < (numbers == .ofAllSizes ? 1.2 : 1) * floats && floats < 1e-6, "\(pieces), \(floats)")
  }

  /// Attention loses about as much, which is mostly the rounding of its scores.
  @Test(arguments: [40, 80, 160], [130, 1000]) func attentionOfPieces(_ dimension: Int, _ keys: Int) {
    guard instructionSets.contains("amx") else { return }
    let head = AttentionHead(length: 40, keys: keys, dimension: dimension, isRounded: false)
    let reference = (0..<40).flatMap { head.expected($0).values }
    func error(_ set: String) -> Double {
      withInstructionSet(set) { meanSquareError(of: head.result(), reference).squareRoot() }
    }
    let (pieces, floats) = (error("amx"), error("avx512"))
    #expect(pieces < 1.1 * floats && floats < 1e-6, "\(pieces), \(floats)")
  }

  /// What is not finite makes outputs that are not, and large finite numbers do not.
  @Test(arguments: instructionSets) func numbersThatAreNotFinite(_ set: String) {
    let problem = ConvolutionProblem(
      images: 1, height: 1, width: 4, channels: 320, outputs: 16, kernel: (1, 1), padding: .init(0), addends: [],
      scale: 1)
    var data = problem.makeData()
    let large: Float = 3e38
    for (row, number) in [Float.nan, .infinity, large, -large].enumerated() {
      for channel in 0..<320 { data.input[row * 320 + channel] = channel == 5 ? number : 0.001 }
    }
    withInstructionSet(set) {
      let result = problem.result(data.with(weights: data.weights.map { $0 / 2 }), .direct)
      for (index, value) in result.enumerated() { #expect(value.isFinite == (index >= 32)) }
      #expect(result[..<16].allSatisfy { $0.isNaN })
    }
  }
}
