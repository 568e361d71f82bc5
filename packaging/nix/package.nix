{ lib, python3Packages, installShellFiles, util-linux }:

python3Packages.buildPythonApplication {
  pname = "vmtune";
  version = "0.1.0";
  pyproject = true;

  src = lib.cleanSource ../..;

  build-system = with python3Packages; [ hatchling hatch-fancy-pypi-readme ];

  dependencies = with python3Packages; [ click deepdiff jsonschema pyyaml ];

  nativeBuildInputs = [ installShellFiles ];

  nativeCheckInputs = (with python3Packages; [
    hypothesis
    pytestCheckHook
    pytest-timeout
    pytest-xdist
  ]) ++ [ util-linux ];

  enabledTestPaths = [ "tests/unit" "tests/property" ];

  postInstall = ''
    for shell in bash zsh fish; do
      $out/bin/vmtune completion $shell >vmtune.$shell
    done
    installShellCompletion vmtune.{bash,zsh,fish}
    install -D -m 644 -t $out/share/vmtune/schemas schemas/*.json
    install -D -m 644 -t $out/share/vmtune packaging/monitoring/metrics.jq
    install -D -m 755 -t $out/libexec/vmtune packaging/monitoring/check_vmtune
  '';

  meta = {
    description = "Declarative Btrfs settings for virtual machine images";
    homepage = "https://example.org/vmtune";
    license = lib.licenses.mit;
    mainProgram = "vmtune";
    platforms = lib.platforms.linux;
  };
}
