import Fewstep
import Foundation
import Testing

@Suite("fewstep quantize")
struct QuantizeTests {
  private static let quick = ["--steps", "2", "--prompt", "a bold red letter A on a white background, serif"]

  @Test func writesAFolderThatGeneratesAtItsOwnPrecision() throws {
    try withTemporaryFolder { folder in
      let result = try CommandResult(
        "fewstep", ["quantize", "glyphs", "small", "--precision", "int8"] + Self.quick, in: folder)
      #expect(result.status == 0, "\(result.errors)")
      #expect(result.output.contains("SNR of outputs") && result.output.contains("1 images with equal seeds"))
      #expect(try contents(of: folder) == ["small"])
      let run = try CommandResult(
        "fewstep", ["generate", "a red letter A", "--model", "small", "--steps", "2", "--json"], in: folder)
      #expect(run.status == 0 && run.output.contains(#""precision" : "int8""#), "\(run.errors)")
      let wide = try CommandResult(
        "fewstep", ["generate", "a red letter A", "--model", "small", "--steps", "2", "--json", "--precision", "fp32"],
        in: folder)
      #expect(wide.status == 0 && wide.output.contains(#""precision" : "float32""#), "\(wide.errors)")
    }
  }

  @Test(arguments: [
    (["quantize", "glyphs", "x", "--precision", "int3"], "int8-weights"),
    (["quantize", "glyphs", ".", "--precision", "int8"], "a new folder"),
    (["quantize", "glyphs", "no/such/place", "--precision", "int8"], "a place that can be written to"),
    (["quantize", "no-such-folder", "x", "--precision", "int8"], "no-such-folder/model_index.json"),
    (["quantize", "glyphs", "x", "--precision", "int8", "--steps", "0"], "--steps 0"),
    (
      ["quantize", "glyphs", "x", "--precision", "q4_0", "--minimum-psnr", "99", "--steps", "2"],
      "q4_0 fails on this model"
    ),
    (["generate", "x", "--precision", "int3"], "'int3' is invalid for '--precision"),
  ])
  func refusesWhatItCannotDo(_ arguments: [String], _ message: String) throws {
    try withTemporaryFolder { folder in
      let result = try CommandResult("fewstep", arguments, in: folder)
      #expect(result.status != 0 && result.errors.contains(message), "\(result.errors)")
      #expect(try contents(of: folder).isEmpty)
    }
  }
}
