import ArgumentParser
import Fewstep

extension WeightFormat: Encodable {
  /// The peak that a kernel of this format is held against; half precision is widened and multiplied as float32.
  func peak(of peaks: MachinePeaks) -> Double {
    switch self {
    case .float32, .float16: peaks.float32
    case .bfloat16: peaks.bfloat16 ?? peaks.float32
    case .int8: peaks.int8 ?? peaks.float32
    }
  }
}

extension Precision: Encodable, ExpressibleByArgument {
  public init?(argument: String) { self.init(named: argument) }

  /// The names that users type; the long ones are accepted too.
  public static var allValueStrings: [String] { allCases.map(\.shortName) }

  var bytesPerWeight: Int {
    switch self {
    case .float32: 4
    case .float16, .bfloat16: 2
    case .int8: 1
    }
  }

  /// Of the bulk of the weights.
  var format: WeightFormat { WeightFormat(rawValue: rawValue)! }
}
