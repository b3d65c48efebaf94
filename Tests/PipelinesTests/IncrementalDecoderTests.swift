import Fewstep
import Glyphs
import Testing

@testable import Networks

/// Decoding around what changed.
@Suite struct IncrementalDecoderTests {
  private static let side = 48

  private static func latents(edited: Bool) -> DenseTensor<Float> {
    var latents = DenseTensor<Float>(noise: NoiseField(seed: 4), shape: [1, side, side, 4])
    guard edited else { return latents }
    let patch = DenseTensor<Float>(noise: NoiseField(seed: 5), shape: [1, 3, 5, 4])
    latents.replace(PixelWindow(rows: 20..<23, columns: 30..<35), with: patch)
    return latents
  }

  private static func elements(_ pixels: DenseTensor<Float>, in window: PixelWindow) -> [Float] {
    pixels.cropped(to: window).elements
  }

  @Test(arguments: [Precision.float32, .bfloat16]) func whatIsDecodedIsWhatFrozenNormsGive(_ precision: Precision)
    throws
  {
    let autoencoder = try AutoencoderKL(Glyphs.epsilon(), precision: precision)
    let scale = autoencoder.configuration.scale
    let (before, after) = (Self.latents(edited: false), Self.latents(edited: true))
    var decoder = IncrementalDecoder(autoencoder)
    decoder.margin = 2
    let first = decoder.decode(scaled: before)
    #expect(
      first == autoencoder.decode(scaled: before) && decoder.decodedPixels == Self.side * Self.side * scale * scale)

    let edited = decoder.decode(scaled: after)
    let window = try #require(decoder.window)
    #expect(window == PixelWindow(rows: 18 * scale..<25 * scale, columns: 28 * scale..<37 * scale))
    #expect(decoder.decodedPixels == window.count)
    // Nothing else is touched.
    var rest = edited
    rest.replace(window, with: first.cropped(to: window))
    #expect(rest == first)

    let history = NormHistory()
    _ = autoencoder.decode(scaled: before, noting: history)
    let whole = PixelWindow(rows: 0..<Self.side * scale, columns: 0..<Self.side * scale)
    #expect(autoencoder.decodeFrozen(scaled: before, window: whole, norms: history.norms) == first)
    let frozen = autoencoder.decodeFrozen(scaled: after, window: whole, norms: history.norms)
    // The algorithm of a convolution depends on its size, so the last bits may differ.
    let error = zip(Self.elements(edited, in: window), Self.elements(frozen, in: window)).map { abs($0 - $1) }.max()!
    print("\(precision): the window is within \(error) of all of the picture with frozen norms")
    #expect(error < (precision == .float32 ? 1e-5 : 0x1p-7))

    // The approximation.
    let exact = autoencoder.decode(scaled: after)
    func picture(_ pixels: DenseTensor<Float>) throws -> Image {
      try Image(width: pixels.shape[2], height: pixels.shape[1], rgb: pixels.elements)
    }
    #expect(try picture(edited).psnr(to: picture(exact)) > 30)
    #expect(try picture(edited).psnr(to: picture(exact)) > picture(first).psnr(to: picture(exact)))

    #expect(decoder.decode(scaled: after) == edited && decoder.decodedPixels == 0 && decoder.window == nil)
    decoder.reset()
    #expect(decoder.decode(scaled: after) == exact)
  }

  /// Windows at the picture's sides, and a picture whose sides are no multiple of a tile.
  @Test func cornersAreRight() throws {
    let autoencoder = try AutoencoderKL(Glyphs.epsilon())
    let scale = autoencoder.configuration.scale
    let (height, width) = (21, 34)
    let before = DenseTensor<Float>(noise: NoiseField(seed: 6), shape: [1, height, width, 4])
    let history = NormHistory()
    _ = autoencoder.decode(scaled: before, noting: history)
    let whole = PixelWindow(rows: 0..<height * scale, columns: 0..<width * scale)
    for (row, column) in [(0, 0), (20, 33), (0, 17), (20, 0)] {
      var after = before
      after.replace(
        PixelWindow(rows: row..<row + 1, columns: column..<column + 1), with: DenseTensor(zeros: [1, 1, 1, 4]))
      var decoder = IncrementalDecoder(autoencoder)
      decoder.margin = 1
      _ = decoder.decode(scaled: before)
      let edited = decoder.decode(scaled: after)
      let window = try #require(decoder.window)
      #expect(window.count <= 9 * scale * scale)
      let frozen = autoencoder.decodeFrozen(scaled: after, window: whole, norms: history.norms)
      let (own, reference) = (Self.elements(edited, in: window), Self.elements(frozen, in: window))
      #expect(zip(own, reference).allSatisfy { abs($0 - $1) < 1e-5 })
    }
  }
}
