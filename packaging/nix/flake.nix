# nix run 'git+file:.?dir=packaging/nix'. docs/packaging.md says what of it was built, and where.
{
  description = "Declarative Btrfs settings for virtual machine images";

  inputs.nixpkgs.url = "nixpkgs/nixos-unstable";

  outputs = { self, nixpkgs }:
    let
      systems = [ "x86_64-linux" "aarch64-linux" ];
      each = make: nixpkgs.lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system});
    in
    {
      packages = each (pkgs: rec {
        vmtune = pkgs.callPackage ./package.nix { };
        default = vmtune;
      });
    };
}
