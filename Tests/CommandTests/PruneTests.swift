import Foundation
import Testing

@Suite("fewstep prune")
struct PruneTests {
  @Test func writesASmallerModel() throws {
    try withTemporaryFolder { folder in
      let arguments = ["prune", "glyphs", "small", "--heads", "25%", "--blocks", "1", "--samples", "4", "--json"]
      let result = try CommandResult("fewstep", arguments, in: folder)
      let report = try #require(
        try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any], "\(result.errors)")
      let (before, after) = (report["weightBytesBefore"] as? Int, report["weightBytes"] as? Int)
      #expect(try #require(after) < #require(before))
      let removed = try #require(report["removed"] as? [[String: Any]])
      #expect(removed.count { $0["head"] == nil } == 1 && removed.count > 10)

      let image = try CommandResult(
        "fewstep", ["generate", "a red letter A on white", "--model", "small", "--steps", "2"], in: folder)
      #expect(image.status == 0 && image.output.contains("fewstep.png"), "\(image.errors)")
      // There is something now.
      let again = try CommandResult("fewstep", arguments, in: folder)
      #expect(again.status != 0 && again.errors.contains("a new folder"))
      #expect(try contents(of: folder) == ["fewstep.png", "small"])
    }
  }

  @Test(arguments: [
    (["glyphs", "out", "--heads", "120%"], "--heads 120%"), (["glyphs", "out", "--heads", "-5%"], "--heads -5%"),
    (["glyphs", "out", "--heads", "nan"], "--heads nan%"), (["glyphs", "out", "--heads", "few"], "'few' is invalid"),
    (["glyphs", "out"], "nothing to remove"), (["glyphs", "out", "--blocks", "-1"], "--blocks -1"),
    (["glyphs", "out", "--blocks", "1", "--samples", "0"], "--samples 0"),
    (["no-such-folder", "out", "--blocks", "1"], "--prompts is needed"),
    (["glyphs", "no/such/place", "--blocks", "1", "--samples", "4096"], "a place that can be written to"),
    (["glyphs", "out", "--blocks", "1", "--prompts", "nope.txt"], "nope.txt: No such file"),
    (["glyphs", "out", "--heads", "99%", "--samples", "1"], "every attention keeps one"),
    (["glyphs", "out", "--blocks", "99", "--samples", "1"], "expected 0 to 18"),
  ])
  func refusesSillyWishes(_ arguments: [String], _ message: String) throws {
    try withTemporaryFolder { folder in
      let result = try CommandResult("fewstep", ["prune"] + arguments, in: folder)
      #expect(result.status != 0 && result.errors.contains(message), "\(result.errors)")
      #expect(try contents(of: folder).isEmpty)
    }
  }
}
