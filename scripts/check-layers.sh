#!/usr/bin/env bash
# A module imports only from modules above it in this list, and those before `connection` know no tokio.
# `error` only composes what the others raise, so it may import from all and all may import it.
# A module that is missing here is a violation too: give it its place.
# keyway-testing does not depend on keyway: it serves tests of any client.
# Usage: check-layers.sh [DIRECTORY]; by default the src of this project.
set -euo pipefail
directory=${1:-$(dirname "$0")/../src}

# One rank a line.
layers='
planted
hash
placement
topology
config
reply_code
command
routing
plan
import
resp
stats
deadline
connection
control
pool
pubsub
scatter
gather
cluster
inspect
sampling
check
survey
instructions
sets timeline queue counters loading_cache flags
rebalance
simulation
'
without_tokio='hash placement topology config reply_code command routing plan import resp stats simulation'

# Cargo alone would allow it, as keyway needs the other crate for its tests only.
manifest="$directory/../crates/testing/Cargo.toml"
if [ -e "$manifest" ] && grep -nE '^ *keyway *[.=]|dependencies\.keyway\b|package *= *"keyway"' "$manifest" >&2; then
  echo "check-layers: keyway-testing does not depend on keyway" >&2
  exit 1
fi

cd "$directory"
find . -name '*.rs' ! -path './bin/*' ! -path ./lib.rs | sed 's|^\./||' | LC_ALL=C sort |
  LAYERS="$layers" WITHOUT_TOKIO="$without_tokio" perl -ne '
    BEGIN {
      my $rank = 0;
      for my $line (grep { /\S/ } split /\n/, $ENV{LAYERS}) {
        $rank{$_} = $rank for split " ", $line;
        $rank++;
      }
      %pure = map { $_ => 1 } split " ", $ENV{WITHOUT_TOKIO};
    }
    chomp(my $file = $_);
    open my $in, "<", $file or die "$file: $!\n";
    my $code = do { local $/; <$in> };
    # Comments may speak of anything; the line ends stay, for the line numbers. A // inside a URL is no comment.
    $code =~ s{(^|\s)//[^\n]*}{$1}g;
    $code =~ s{/\*.*?\*/}{ (my $gone = $&) =~ tr/\n//cd; $gone }gse;
    (my $path = $file) =~ s{(?:/mod)?\.rs$}{};
    my @path = split "/", $path;
    my $module = $path[0];
    next if $module eq "error";
    if (!exists $rank{$module}) { violation($file, 1, "module `$module` has no place in the list of this script"); next; }

    # crate::x, crate::{x, y::z}, and the same by way of super.
    my $root = "(?:crate|" . join("::", ("super") x @path) . ")";
    while ($code =~ /(?<![\w:])$root\s*::\s*(?:(\w+)|(\{))/g) {
      my ($name, $offset) = ($1, $-[0]);
      my $by_super = substr($code, $offset, 5) eq "super";
      for my $import (defined $name ? $name : group($code, pos $code)) {
        # In an inline module, super:: is the file itself: only the names of layers count there.
        next if $by_super && !exists $rank{$import};
        next if $import eq $module || $import eq "error" || $import =~ /^(?:Error|ErrorKind|self)$/;
        my $line = 1 + (substr($code, 0, $offset) =~ tr/\n//);
        if (!exists $rank{$import}) {
          violation($file, $line, "`$import` is no layer: name things by the path of their own module");
        } elsif ($rank{$import} >= $rank{$module}) {
          violation($file, $line, "`$module` imports from `$import`, which is not above it");
        }
      }
    }
    while ($pure{$module} && $code =~ /\btokio\w*/g) {
      violation($file, 1 + (substr($code, 0, $-[0]) =~ tr/\n//), "`$module` mentions tokio");
    }
    $files++;

    # The first names of a group in braces that has just been opened.
    sub group {
      my ($code, $at) = @_;
      my ($depth, @names, $fresh) = (1, (), 1);
      @names = ();
      pos($code) = $at;
      while ($depth > 0 && $code =~ /\G\s*(?:(\w+)|(\{)|(\})|(,)|.)/gs) {
        if (defined $1) { push @names, $1 if $fresh && $depth == 1; $fresh = 0; }
        elsif (defined $2) { $depth++; }
        elsif (defined $3) { $depth--; }
        elsif (defined $4 && $depth == 1) { $fresh = 1; }
      }
      return @names;
    }
    sub violation { my ($file, $line, $what) = @_; print STDERR "src/$file:$line: $what\n"; $violations++; }
    END {
      die "check-layers: no source files\n" unless $files || $violations;
      if ($violations) { print STDERR "check-layers: $violations violation(s)\n"; $? = 1; }
      else { print "check-layers: $files files keep to their layers\n"; }
    }
  '
