import CKernels
import DenseTensors
import Testing

/// Both convolutions against their definition, and the bits of any part against those of the whole.
extension KernelTests {
  typealias Padding = ConvolutionGeometry.Padding

  static let paddings = [
    Padding(0), Padding(1), Padding(bottom: 1, right: 1), Padding(top: 2, bottom: 1, right: 3), Padding(3),
  ]

  /// Every combination of kernel, stride, upsampling and padding; the other options take turns.
  static let geometries: [ConvolutionProblem] = [1, 3, 5, 7].flatMap { kernel in
    [(1, 1), (1, 2), (2, 1), (2, 2)].flatMap { stride, upsampling in
      paddings.enumerated().map { index, padding in
        ConvolutionProblem(
          images: 1 + index % 3, height: 7, width: 8, channels: 5, outputs: 19, kernel: (kernel, kernel),
          stride: stride, padding: padding, upsampling: upsampling, extraInput: index % 2 * 3,
          addends: .init(rawValue: (index + kernel) % 8))
      }
    }
  }

  static let widths: [ConvolutionProblem] =
    [1, 2, 3, 4, 5, 15, 16, 17, 31, 32, 33, 47, 48, 49, 50, 65].map { ConvolutionProblem(outputs: $0) }
    + [1, 15, 16, 33].map { ConvolutionProblem(channels: $0, outputs: 3, extraInput: 1, format: FS_FLOAT16) }
    + [1, 2, 3, 15, 16, 31, 48].map { ConvolutionProblem(channels: $0, outputs: 20) }
    + [1, 2, 3, 15, 16, 17, 33].map {
      ConvolutionProblem(channels: $0, outputs: $0, kernel: (1, 1), padding: .init(0), extraInput: 1)
    }
    + (0..<8).map { ConvolutionProblem(images: 3, outputs: 18, addends: .init(rawValue: $0), scale: -1.25) }

  static let others = [
    ConvolutionProblem(images: 1, height: 1, width: 1), ConvolutionProblem(images: 3, height: 1, width: 13),
    // A linear layer; more rows than one chunk of tiles has; kernels that are not square.
    ConvolutionProblem(images: 1, height: 1, width: 101, channels: 23, outputs: 70, kernel: (1, 1), padding: .init(0)),
    ConvolutionProblem(images: 1, height: 11, width: 13, channels: 3, outputs: 97),
    ConvolutionProblem(kernel: (1, 7), padding: .init(left: 3, right: 3)),
    ConvolutionProblem(kernel: (5, 2), padding: .init(top: 4)),
    // A pixelwise kernel that skips pixels, although there are as many outputs as inputs.
    ConvolutionProblem(height: 1, width: 3, kernel: (1, 1), stride: 2, padding: .init(left: 1, right: 2)),
  ]

  @Test(arguments: instructionSets, geometries + widths + others)
  func convolution(_ set: String, _ problem: ConvolutionProblem) {
    withInstructionSet(set) {
      let whole = checkDefinitionAndCuts(problem, .direct, errorBound: 1)
      // A piece writes its own rows and panels and nothing else.
      let (rows, panels) = (problem.rows / 3..<(2 * problem.rows + 2) / 3, problem.panels / 2..<problem.panels)
      let part = problem.result(problem.makeData(), .direct, pieces: [.init(units: rows, panels: panels)])
      for (index, value) in part.enumerated() {
        let isInside = rows.contains(index / problem.outputs) && panels.contains(index % problem.outputs / 32)
        #expect(isInside ? value == whole[index] : value.isNaN, "element \(index)")
      }
    }
  }

  /// Pictures for which the large tiles pay.
  static let largeTileProblems = [
    ConvolutionProblem(height: 18, width: 17, channels: 17, outputs: 33),
    ConvolutionProblem(images: 1, height: 23, width: 18, channels: 35, outputs: 16, extraInput: 2),
    ConvolutionProblem(height: 17, width: 17, channels: 5, outputs: 50, padding: .init(top: 2, bottom: 1, right: 3)),
  ]

  @Test(arguments: largeTileProblems) func largeTilesAreTaken(_ problem: ConvolutionProblem) {
    #expect(problem.hasLargeTiles)
  }

  static let winogradProblems: [ConvolutionProblem] =
    [5, 16, 17, 32, 33, 48, 50].map { ConvolutionProblem(height: 9, width: 6, channels: 20, outputs: $0) }
    + [1, 2, 3, 15, 16, 17, 33].map { ConvolutionProblem(height: 6, width: 9, channels: $0, outputs: 18) }
    + paddings.flatMap { padding in
      [1, 2].map { ConvolutionProblem(images: 3, height: 5, width: 6, padding: padding, upsampling: $0, extraInput: 3) }
    }
    + [
      // Channels of more than one block, tiles of more than one group.
      ConvolutionProblem(images: 3, height: 11, width: 13, channels: 65, outputs: 36),
      ConvolutionProblem(height: 8, width: 8, channels: 48, outputs: 64), ConvolutionProblem(channels: 1, outputs: 5),
      ConvolutionProblem(height: 1, width: 1, channels: 16, outputs: 16),
      ConvolutionProblem(images: 3, height: 13, width: 3, channels: 15, outputs: 31, addends: []),
      ConvolutionProblem(addends: .imageBias, scale: -1.25),
      // Tiles so many that blocks of channels are deep, of which there are two.
      ConvolutionProblem(images: 1, height: 32, width: 32, channels: 70, outputs: 18),
    ]
    + largeTileProblems
    // Upsampled ones of all parities, of which the smaller ones take small tiles.
    + [(1, 1), (2, 3), (7, 2), (8, 9), (11, 10)].flatMap { height, width in
      paddings.map {
        ConvolutionProblem(height: height, width: width, channels: 19, outputs: 18, padding: $0, upsampling: 2)
      }
    }

  /// Each with the weights in every format.
  static let winogradFormats = winogradProblems.flatMap { problem in
    [FS_FLOAT32, FS_FLOAT16, FS_BFLOAT16].map { format in
      var problem = problem
      problem.format = format
      return problem
    }
  }

  @Test(arguments: instructionSets, winogradFormats)
  func winograd(_ set: String, _ problem: ConvolutionProblem) {
    withInstructionSet(set) {
      // The transforms add up terms of several times the data and take them off again: measured, 2.5 at most, and 8.3
      // with large tiles.
      let result = checkDefinitionAndCuts(problem, .winograd, errorBound: problem.hasLargeTiles ? 12 : 4)
      // Panels of other columns stay as they were.
      let panels = problem.panels / 2..<problem.panels
      let part = problem.result(
        problem.makeData(), .winograd, pieces: [.init(units: 0..<problem.unitCount(.winograd), panels: panels)])
      for (index, value) in part.enumerated() {
        let isInside = panels.contains(index % problem.outputs / 32)
        #expect(isInside ? value == result[index] : value.isNaN, "element \(index)")
      }
    }
  }

  /// Blocks of channels are summed on their own, and so the shorter sums win back what the transforms lose: measured,
  /// 1.04e-6 with small tiles, 3.0e-6 with large ones and 0.22e-6 with upsampling, where the plain sum has 0.90e-6.
  static let accuracies: [(shape: ConvolutionProblem, most: Double)] = [
    (ConvolutionProblem(height: 12, width: 12), 1.15e-6), (ConvolutionProblem(height: 18, width: 18), 3.1e-6),
    (ConvolutionProblem(height: 11, width: 11, upsampling: 2), 0.4e-6),
  ]

  @Test(arguments: instructionSets, accuracies)
  func accuracyOfWinograd(_ set: String, _ bound: (shape: ConvolutionProblem, most: Double)) {
    var problem = bound.shape
    (problem.images, problem.channels, problem.outputs, problem.addends, problem.scale) = (1, 320, 32, [], 1)
    let data = problem.makeData()
    let reference = problem.reference(data).map(\.sum)
    withInstructionSet(set) {
      let winograd = meanSquareError(of: problem.result(data, .winograd), reference).squareRoot()
      let direct = meanSquareError(of: problem.result(data, .direct), reference).squareRoot()
      #expect(winograd < bound.most && direct < 1e-6, "\(winograd), \(direct)")
    }
  }

  /// Checks the result against the definition, and its bits against those of its parts; returns it.
  private func checkDefinitionAndCuts(
    _ problem: ConvolutionProblem, _ algorithm: ConvolutionProblem.Algorithm, errorBound: Double
  ) -> [Float] {
    let data = problem.makeData()
    let whole = checkCuts(problem, algorithm, data)
    let error = problem.error(of: whole, algorithm, problem.reference(data))
    #expect(error < errorBound)
    return whole
  }

  /// Checks the bits of the result against those of its parts; returns it.
  func checkCuts(
    _ problem: ConvolutionProblem, _ algorithm: ConvolutionProblem.Algorithm, _ data: ConvolutionProblem.Data
  ) -> [Float] {
    let whole = problem.result(data, algorithm)
    // However the work is cut, in tiles of 1 row or 12.
    let (units, panels) = (problem.unitCount(algorithm), (0..<problem.panels).map { $0..<$0 + 1 })
    for size in [1, 12] {
      let ranges = stride(from: 0, to: units, by: size).map { $0..<min($0 + size, units) }
      #expect(
        problem.result(data, algorithm, pieces: problem.pieces(units: ranges, panels: panels)) == whole)
    }
    var numbers = TestNumbers(seed: UInt64(units))
    for size in [5, 13, 40] {
      let ranges = numbers.pieces(of: units, atMost: size)
      let panels = numbers.pieces(of: problem.panels, atMost: 2)
      #expect(
        problem.result(data, algorithm, pieces: problem.pieces(units: ranges, panels: panels)) == whole)
    }
    // An image alone.
    let size = problem.pixels * problem.outputs
    for image in 0..<problem.images {
      let (single, own) = problem.alone(image, of: data)
      #expect(single.result(own, algorithm) == Array(whole[image * size..<(image + 1) * size]))
    }
    return whole
  }
}
