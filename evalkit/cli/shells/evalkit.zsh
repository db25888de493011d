#compdef evalkit
# Completion of evalkit for zsh. Add to ~/.zshrc: eval "$(evalkit completion zsh)"
_evalkit() {
    local line word about want_files=
    local -a given found shown open open_shown
    given=("${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}")
    while IFS= read -r line; do
        if [[ $line == :files ]]; then
            want_files=1
            continue
        fi
        word=${line%%$'\t'*}
        about=${word##*[=]}
        [[ -n $about ]] || about=$word
        [[ $line == *$'\t'* ]] && about="$about  -- ${line#*$'\t'}"
        if [[ $word == *[=.] ]]; then
            open+=("$word") open_shown+=("$about")
        else
            found+=("$word") shown+=("$about")
        fi
    done < <("${(Q)words[1]/#\~\//$HOME/}" completion --candidates "${given[@]}" 2> /dev/null)
    (( $#found )) && compadd -Q -l -d shown -a found
    (( $#open )) && compadd -Q -S '' -l -d open_shown -a open
    if [[ -n $want_files ]]; then
        compset -P '*='
        _files
    fi
    return 0
}
if [[ ${zsh_eval_context[-1]} == loadautofunc ]]; then
    _evalkit "$@"
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
    compdef _evalkit evalkit
fi
